"""`make bench-serving`: requests a second and latency, beside other servers and beside no server at all.

Rounds are interleaved: each takes every server once for each kind of load, the others idle meanwhile. A claim is the
ratio of two servers in one round; its spread is that over the rounds. QUICK=1 takes two or three minutes.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

from benchmarks import load, model, serving_report
from benchmarks.common import MODEL, QUICK, ROOT, SMALL, cpu_seconds, machine, percentile, results_folder
from benchmarks.local_tools import engine
from benchmarks.servers import BASELINES, CORES, IMAGE, Server, running

#: Picture size and clients.
CELLS = [(SMALL, 1), (SMALL, 4), (SMALL, 16), (SMALL, 64), ("1200x900", 16), ("4000x3000", 16)]
#: What a baseline under our runtime is loaded with: the rest is the baseline's own time, which its usual set-up shows.
SHORT = [(SMALL, 1), (SMALL, 16)]
ROUNDS = int(os.environ.get("ROUNDS", "1" if QUICK else "3"))
SECONDS, MOST_SECONDS = (0.6, 3.0) if QUICK else (1.5, 5.0)
BATCH = 8


class Bare:
    """Processes without a server; see benchmarks/bare.py."""

    def __init__(self, variant: str) -> None:
        self.variant, self.name = variant, f"bare {variant}"
        paths = [str(ROOT), str(ROOT / "container"), str(ROOT / "serving")]
        env = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
        command = [
            sys.executable,
            "-m",
            "benchmarks.bare",
            str(MODEL / variant),
            str(MODEL),
        ]
        self.processes = [
            subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for _ in range(CORES)
        ]
        for process in self.processes:
            assert process.stdout is not None
            if process.stdout.readline().strip() != "ready":
                raise RuntimeError(f"{self.name} does not start; what it wrote is above")

    def run(
        self, size: str, batch: int, processes: int, expected: dict[str, Any], full: bool = False, alone: bool = False
    ) -> dict[str, Any]:
        """Pictures a second of all, and the time of a batch; ``full``: with no scaled decode; ``alone``: a process has
        every core, not one.
        """
        order = {"size": size, "batch": batch, "seconds": SECONDS, "full": full, "alone": alone}
        found = []
        for process in self.processes[:processes]:
            assert process.stdin is not None
            process.stdin.write(json.dumps(order) + "\n")
            process.stdin.flush()
        for process in self.processes[:processes]:
            assert process.stdout is not None
            found.append(json.loads(process.stdout.readline()))
        classes = {name: answered for one in found for name, answered in one["classes"].items()}
        wrong = sum(answered != expected[f"{size}/{name}"]["class"] for name, answered in classes.items())
        seconds = [second for one in found for second in one["seconds"]]
        return {
            "per_second": sum(one["per_second"] for one in found),
            "p50_ms": 1000 * percentile(seconds, 0.5),
            "p99_ms": 1000 * percentile(seconds, 0.99),
            "right": len(classes) - wrong,
            "wrong": wrong,
            "errors": 0,
        }

    def stages(self, size: str) -> dict[str, float]:
        """Median milliseconds of a lone request's parts, in one process with every core."""
        process = self.processes[0]
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps({"stages": True, "size": size, "seconds": SECONDS}) + "\n")
        process.stdin.flush()
        found: dict[str, float] = json.loads(process.stdout.readline())
        return found

    def stop(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()


@contextlib.contextmanager
def bare_processes() -> Iterator[list[Bare]]:
    made: list[Bare] = []
    try:
        for precision in model.PRECISIONS:
            made.append(Bare(precision))
        yield made
    finally:
        for one in made:
            one.stop()


def _servers() -> list[Server]:
    wanted = [(baseline, "torch") for baseline in BASELINES] + [(baseline, "int8") for baseline in BASELINES]
    wanted += [("ours", precision) for precision in model.PRECISIONS]
    only = os.environ.get("SERVERS")
    return [Server(kind, variant) for kind, variant in wanted if not only or f"{kind}-{variant}" in only.split(",")]


def measure() -> Iterator[dict[str, Any]]:
    """What is known after each round: ``cells`` maps a kind of load to a server's results, round by round."""
    facts = model.ensure()
    expected = facts["expected"]
    pictures = {size: load.pictures_of(MODEL, size, expected) for size in model.PICTURES}
    cells: dict[str, dict[str, list[dict[str, Any]]]] = {}
    memory: dict[str, float] = {}
    parts: dict[str, list[dict[str, float]]] = {}

    def add(size: str, clients: int, name: str, result: dict[str, Any]) -> None:
        cells.setdefault(f"{size} {clients}", {}).setdefault(name, []).append(result)

    with bare_processes() as limits, running(_servers(), pictures[SMALL][0]) as servers:
        for server in servers:
            server.pause()
        for number in range(ROUNDS):
            began = time.monotonic()
            for size, clients in CELLS:
                for server in servers:
                    if server.kind in BASELINES and server.variant != "torch" and (size, clients) not in SHORT:
                        continue
                    server.resume()
                    before = cpu_seconds(server.pids())
                    found = load.run(server.port, server.path, pictures[size], clients, SECONDS, MOST_SECONDS)
                    after = cpu_seconds(server.pids())
                    server.pause()
                    if found.first_error:
                        print(f"{server.name} at {clients} clients: {found.first_error}", flush=True)
                    used = {name: seconds - before.get(name, 0) for name, seconds in after.items()}
                    done = max(1, found.right + found.wrong + found.drained)
                    cpu = {name: 1000 * seconds / done for name, seconds in used.items() if seconds > 0}
                    add(size, clients, server.name, found.summary() | {"cpu_ms": cpu})
                for limit in limits:
                    alone = clients == 1
                    batch, processes = (1, 1) if alone else (BATCH, CORES)
                    add(size, clients, limit.name, limit.run(size, batch, processes, expected, alone=alone))
                    if alone:
                        add(size, clients, f"{limit.name} one core", limit.run(size, batch, processes, expected))
                    if size == "4000x3000":
                        full = limit.run(size, batch, processes, expected, full=True)
                        add(size, clients, f"{limit.name} full decode", full)
            for limit, ours in ((limit, s) for limit in limits for s in servers if s.name == f"ours {limit.variant}"):
                stages = limit.stages(SMALL) | {"ping": load.ping_ms(ours.port)}
                parts.setdefault(ours.name, []).append(stages)
            if number == 0:
                memory = {server.name: server.memory_mb() for server in servers}
            print(f"round {number + 1} of {ROUNDS}: {time.monotonic() - began:.0f} s", flush=True)
            yield {
                "machine": machine(),
                "image": _image(),
                "seconds": SECONDS,
                "rounds": number + 1,
                "pictures": {size: _bytes(pictures[size]) for size in model.PICTURES},
                "programs": facts["programs"],
                "memory_mb": {name: round(value) for name, value in memory.items()},
                "stages": parts,
                "cells": cells,
            }


def _bytes(pictures: list[load.Picture]) -> dict[str, int]:
    sizes = [len(picture.body) for picture in pictures]
    return {"count": len(sizes), "mean_bytes": sum(sizes) // len(sizes)}


def _image() -> str:
    done = engine("image", "inspect", "--format", "{{.Id}}", IMAGE, check=False)
    return f"{IMAGE} {done.stdout.strip()[7:19]}"


def main() -> int:
    result: dict[str, Any] = {}
    for result in measure():
        # after each round: what ends a long run early must not cost all of it
        (results_folder() / "serving.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    serving_report.write_results(result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
