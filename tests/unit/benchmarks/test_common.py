from __future__ import annotations

import os

import pytest

from benchmarks import common


def test_ratios_are_taken_round_by_round() -> None:
    # in the second round the machine was half as fast: that is no spread of the ratio
    assert common.ratios([10, 5, 12], [2, 1, 2]) == {"median": 5, "min": 5, "max": 6}


@pytest.mark.parametrize(("share", "value"), [(0.5, 50), (0.99, 99), (1, 100), (0, 1)])
def test_percentile_is_the_nearest_rank(share: float, value: int) -> None:
    assert common.percentile(list(range(100, 0, -1)), share) == value


def test_table() -> None:
    assert common.table(["a", "b"], [["x|y", 1]]) == "| a | b |\n|---|---:|\n| x\\|y | 1 |"
    assert common.show({"median": 1234.56, "min": 0.04, "max": 2}) == "1,234.6 (0.0–2.0)"


def test_memory_of_a_process_and_its_children() -> None:
    assert 1 < common.pss_mb([os.getpid()]) < 10_000
    assert os.getpid() in common.process_tree([os.getppid()])
