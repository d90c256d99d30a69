from __future__ import annotations

import re
from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")

from fastai_training.fitting import tta  # noqa: E402
from fastai_training.fitting.tta import tta_metrics  # noqa: E402
from fastai_training.world import Processes  # noqa: E402
from tests.unit.training.fitting.test_fit import data, equal, run  # noqa: E402, F401 - data is a fixture


def test_the_mean_of_all_views_is_scored(monkeypatch):
    loader = SimpleNamespace()
    answers = {0: [[0.9, 0.1], [0.2, 0.8]], 1: [[0.6, 0.4], [0.3, 0.7]]}
    monkeypatch.setattr(tta, "validate", lambda _l, _p, given: torch.tensor(answers[given.epoch]))
    plain = torch.tensor([[0.4, 0.6], [0.1, 0.9]])
    said: list[str] = []
    learner = SimpleNamespace(dls=[None, None, loader])
    assert tta_metrics(learner, Processes(), plain, torch.tensor([0, 0]), 2, said.append) == {"tta_error_rate": 0.5}
    assert "tta=2: error rate 0.5000" in said[0]
    assert "1.0000 by the centre alone" in said[0]
    assert float(plain[0, 0]) == pytest.approx(0.4), "the plain answers are reported too"


def test_a_run_reports_both_and_trains_the_same(data, tmp_path, capsys):  # noqa: F811
    plain = run(data, tmp_path, epochs=1)
    assert "tta" not in capsys.readouterr().out
    found = [run(data, tmp_path, epochs=1, tta=3) for _ in range(2)]  # from its checkpoint: nothing is trained anew
    assert re.search(r"^tta=3: error rate .* serving answers: it doesn't use tta$", capsys.readouterr().out, re.M)
    assert equal(plain, found[0])
    assert (
        found[0].metrics == found[1].metrics == plain.metrics | {"tta_error_rate": found[0].metrics["tta_error_rate"]}
    )
