from __future__ import annotations

import http.server
import json
import os
import threading
from collections.abc import Iterator

import pytest

from benchmarks import common, load, serving_report, size, soak

RIGHT, WRONG = {"class": "a"}, {"class": "b"}


@pytest.fixture
def port() -> Iterator[int]:
    """A server that answers class a, and every fourth time b; to an empty body 500."""
    count = 0

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            nonlocal count
            body = self.rfile.read(int(self.headers["Content-Length"]))
            count += 1
            answer = json.dumps(WRONG if count % 4 == 0 else RIGHT).encode()
            self.send_response(200 if body else 500)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()


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


def test_the_largest_parts_of_a_folder() -> None:
    sizes = size._megabytes(["1000\t/a", "600\t/a/x", "300\t/a/x/deep", "400\t/a/y", "no line of du's"])
    assert [name for name, _ in size.largest(sizes, "/a")] == ["x", "y"]
    assert sizes["/a/x"] == pytest.approx(0.6144)


def test_the_soak_tells_right_wrong_and_failed_apart(port: int) -> None:
    found, client = soak.Honest(), load.Client(port)
    for body in (b"x", b"x", b"x", b"x", b""):
        soak._ask(client, load.Picture("p", body, "a"), found)
    client.close()
    assert len(found.latencies) == 4
    assert found.wrong == ["p: b instead of a"]  # every fourth
    assert found.failed == {"500": 1}
    unreachable = load.Client(1)
    soak._ask(unreachable, load.Picture("p", b"x", "a"), found)
    assert found.failed == {"500": 1, "ConnectionRefusedError": 1}


@pytest.mark.parametrize(("variables", "why"), [({}, "name the model folder"), ({"MINUTES": "an hour"}, "MINUTES")])
def test_the_soak_says_what_it_lacks(variables, why, tmp_path, monkeypatch, capsys) -> None:
    for name in ("MODEL", "MINUTES"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv("MODEL", str(tmp_path))
        monkeypatch.setenv(name, value)
    assert soak.main() == 2
    assert why in capsys.readouterr().err
