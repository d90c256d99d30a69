"""What benchmarks/training makes of its measurements, and that its own loop runs."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("fastai")

from benchmarks.training import job, rates  # noqa: E402
from benchmarks.training.programs import run  # noqa: E402
from fastai_training.data.sources import find_examples  # noqa: E402
from fastai_training.hyperparameters import HyperParameters  # noqa: E402
from tests.unit.training_data import ARCH, write_pictures  # noqa: E402


def measured(seconds: float, error_rate: float, history: list[tuple[float, float, float]]):
    rows = [dict(zip(("seconds", "images_per_second", "error_rate"), row, strict=True)) for row in history]
    return {
        "training_seconds": seconds,
        "job_seconds": seconds + 10,
        "peak_mb": 1000.0,
        "error_rate": error_rate,
        "history": rows,
        "parts": {"training": seconds},
    }


OURS = measured(10, 0.1, [(8, 30, 0.1)])
ROUNDS = [
    {
        "plain": measured(100, 0.2, [(20, 5, 0.9), (40, 6, 0.15), (60, 7, 0.3), (100, 1, 0.2)]),
        "head": OURS,
        "whole": OURS,
    },
    {
        "plain": measured(200, 0.2, [(40, 4, 0.9), (80, 4, 0.3), (120, 4, 0.3), (200, 1, 0.2)]),
        "head": measured(40, 0.2, [(30, 16, 0.2)]),
        "whole": measured(5, 0.21, [(5, 16, 0.21)]),
    },
]
MACHINE = {
    "date": "2026-01-01T10:00",
    "revision": "x",
    "cpu": "c",
    "cores": 2,
    "instructions": [],
    "memory_gib": 4,
    "system": "s",
    "python": "3",
    "versions": {},
}


def test_rounds_are_compared_one_by_one(monkeypatch):
    monkeypatch.setattr(job, "FROZEN", 3)
    facts = job.compare(ROUNDS)
    assert facts["plain"]["training_seconds"]["median"] == 150
    head = facts["head"]
    assert head["training_seconds"]["ratio"] == pytest.approx({"median": 0.15, "min": 0.1, "max": 0.2})
    # 40 s in the first round, when plain fastai was as good as at its end for the first time
    assert head["first_as_good_seconds"]["ratio"] == pytest.approx({"median": 0.225, "min": 0.2, "max": 0.25})
    assert head["frozen_images_per_second"]["ratio"] == pytest.approx({"median": 4.5, "min": 4, "max": 5})


def test_one_worse_round_is_told():
    facts = job.compare(ROUNDS)
    assert (facts["head"]["reached"], facts["whole"]["reached"]) == (True, False)
    described = {"training_pictures": 514, "validation_pictures": 128, "classes": 37, "rounds": 2, "machine": MACHINE}
    told = job.report(facts | described)
    errors = "20.0 (20.0–20.0) | 15.0 (10.0–20.0); at most plain's in every round | 15.5 (10.0–21.0); MORE than plain's"
    assert f"| held-out error, % | {errors} in a round |" in told


def test_an_epoch_as_good_must_exist():
    with pytest.raises(ValueError, match="empty"):
        job.reached([{"seconds": 1.0, "error_rate": 0.5}], 0.4)


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


def test_our_steps_run_with_and_without_the_loader(tmp_path):
    from benchmarks.training.steps import measure

    write_pictures(tmp_path, 6)
    items = find_examples(tmp_path).items
    parameters = HyperParameters(arch=ARCH, image_size=32, batch_size=4, workers=0, pretrained=False)
    found = measure(items, parameters, torch.device("cpu"), 2)
    assert len(found["real"]) == len(found["synthetic"]) == 2
    assert all(rate > 0 for rate in found["real"] + found["synthetic"])


def test_a_program_that_fails_says_so_with_its_last_lines(tmp_path):
    with pytest.raises(RuntimeError, match="ended with 3:\nfirst\nlast"):
        run(["-c", "print('first'); print('last'); raise SystemExit(3)"], tmp_path)


def test_a_programs_lines_have_their_times(tmp_path):
    done = run(["-c", "import time; print('a'); time.sleep(0.3); print('a b')"], tmp_path)
    assert done.seconds >= done.when("a", last=True) >= done.when("a") + 0.25
    with pytest.raises(ValueError, match="no line"):
        done.when("c")
