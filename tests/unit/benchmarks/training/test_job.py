from __future__ import annotations

import pytest

from benchmarks.training import job
from tests.unit.benchmarks.training.facts import MACHINE


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
