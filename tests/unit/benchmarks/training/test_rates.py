from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("fastai")

from benchmarks.training import rates  # noqa: E402
from fastai_training.data.sources import find_examples  # noqa: E402
from tests.unit.benchmarks.training.facts import MACHINE  # noqa: E402
from tests.unit.training_data import write_pictures  # noqa: E402


def test_rates_are_held_against_what_is_to_be_reached():
    facts = rates.compare(
        [{"plain": 100, "ours": 210, "synthetic": 300}, {"plain": 100, "ours": 230, "synthetic": 300}]
    )
    assert facts["ratio"]["plain"]["median"] == pytest.approx(2.2)
    assert facts["reached"] == {"plain": True, "synthetic": False}
    told = rates.report(facts | {"gpu": "x", "pictures": 8, "rounds": 2, "machine": MACHINE})
    assert "2.20 (2.10–2.30)" in told


def test_pictures_are_repeated_to_fill_an_epoch(tmp_path):
    items = find_examples(write_pictures(tmp_path, 1)[0].parent).items
    assert len(rates.repeated(items, 7)) == 9
    assert rates.repeated(items, 7)[:3] == items
