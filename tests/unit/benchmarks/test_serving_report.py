from __future__ import annotations

import pytest

from benchmarks import serving_report


def _cells(**per_second: float) -> dict[str, list[dict[str, float]]]:
    return {
        name.replace("_", " "): [
            {"per_second": value, "p50_ms": 1000 / value, "p99_ms": 1500 / value, "right": 3, "wrong": 1, "errors": 0}
        ]
        for name, value in per_second.items()
    }


def test_claims_compare_with_the_right_ones() -> None:
    at_16 = _cells(stock_torch=10, litserve_torch=20, uvicorn_torch=30, litserve_int8=200, ours_int8=90, bare_int8=100)
    result = {"cells": {"500x375 16": at_16, "500x375 1": _cells(ours_int8=50, bare_int8=100, bare_int8_one_core=40)}}
    measured = {what: (value["median"], limit) for what, value, limit, _ in serving_report.claims(result)}
    assert measured["ours int8 to stock, 16 clients"] == (9, 8)
    assert measured["ours int8 to the best baseline, 16 clients"] == (3, 1.5)
    assert measured["ours int8 to bare processes, 16 clients"] == (0.9, 0.9)
    assert measured["ours int8, one client: p50 above the bare time on every core, ms"] == (10, 2)
    assert measured["ours int8, one client: p50 above the bare time on one core, ms"] == (-5, 2)
    assert measured["ours int8, one client: p99 to p50"] == (pytest.approx(1.5), 2)
