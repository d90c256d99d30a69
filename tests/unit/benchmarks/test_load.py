from __future__ import annotations

import pytest

from benchmarks import load


def test_every_answer_is_judged(port: int) -> None:
    found = load.run(port, "/", [load.Picture("p", b"x" * 300_000, "a")], clients=2, seconds=0.2, most_seconds=60)
    summary = found.summary()
    assert summary["errors"] == 0
    assert summary["right"] >= 2.5 * summary["wrong"] > 0
    assert summary["answers"] >= 4
    assert summary["per_second"] == pytest.approx(summary["answers"] / found.seconds)
    assert 0 < summary["p50_ms"] <= summary["p99_ms"]


def test_an_error_is_no_answer(port: int) -> None:
    found = load.run(port, "/", [load.Picture("p", b"", "a")], clients=1, seconds=0.1, most_seconds=0.3)
    assert found.errors > 0
    assert (found.latencies, found.right, found.wrong) == ([], 0, 0)
    assert found.first_error.startswith("500")
    assert load.ask(port, "/", load.Picture("p", b"", "a")) is None
    assert load.ask(port, "/", load.Picture("p", b"x", "a")) in ("a", "b")
