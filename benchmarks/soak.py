"""`make bench-soak MODEL=folder`: honest clients beside hostile ones, for MINUTES (60) minutes.

Honest clients send a picture, wait for its answer, pause, and so on; what each picture is answered was written down
before. They run alone first, then beside ``HOSTILE`` clients that take the actions of benchmarks/hostile.py at
random, then alone again. The command fails on a wrong answer, an honest request without a 200, or a process that was
started anew.
"""

from __future__ import annotations

import json
import os
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import hostile, load
from benchmarks.common import QUICK, describe, machine, percentile, pets_folder, process_tree, pss_mb, table, write
from benchmarks.local_tools import engine
from benchmarks.servers import IMAGE, START_SECONDS, BenchError, low_port

HONEST, HOSTILE = 4, 4
#: Seconds between an honest client's requests, and between a hostile client's actions, on average.
PAUSE, HOSTILE_PAUSE = 0.1, 2.0
#: The container's memory.
LIMIT = os.environ.get("LIMIT") or "2g"
CLOSED = ["--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]


@dataclass
class Honest:
    """What the honest clients of one phase found; ``latencies`` in seconds."""

    latencies: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    failed: Counter[str] = field(default_factory=Counter)

    def summary(self) -> dict[str, Any]:
        known = self.latencies or [float("nan")]
        return {
            "requests": len(self.latencies) + sum(self.failed.values()),
            "p50_ms": round(1000 * percentile(known, 0.5), 1),
            "p99_ms": round(1000 * percentile(known, 0.99), 1),
            "longest_ms": round(1000 * max(known), 1),
            "wrong": len(self.wrong),
            "failed": dict(self.failed),
        }


def _ask(client: load.Client, picture: load.Picture, found: Honest) -> None:
    began = time.perf_counter()
    try:
        status, body = client.ask("/invocations", picture)
    except OSError as error:
        found.failed[type(error).__name__] += 1
        return
    if status != 200:
        found.failed[str(status)] += 1
        return
    found.latencies.append(time.perf_counter() - began)
    answered = json.loads(body)["class"]
    if answered != picture.expected:
        found.wrong.append(f"{picture.name}: {answered} instead of {picture.expected}")


def _honest(port: int, pictures: list[load.Picture], found: Honest, stop: threading.Event, seed: int) -> None:
    chance, client = random.Random(seed), load.Client(port)
    while not stop.is_set():
        _ask(client, chance.choice(pictures), found)
        stop.wait(chance.expovariate(1 / PAUSE))
    client.close()


def _hostile(port: int, picture: bytes, found: dict[str, Counter[int]], stop: threading.Event, seed: int) -> None:
    chance = random.Random(seed)
    while not stop.is_set():
        action = chance.choice(hostile.ACTIONS)
        try:
            found.setdefault(action.__name__, Counter()).update(action(port, picture) or [0])
        except OSError:
            found.setdefault(action.__name__, Counter())[0] += 1
        stop.wait(chance.expovariate(1 / HOSTILE_PAUSE))


@contextmanager
def _served(model: Path) -> Iterator[tuple[int, str]]:
    """Port and container of an endpoint as the README says to run one."""
    port, name = low_port(), f"fastai-sagemaker-soak-{os.getpid()}"
    command = ["run", "--detach", "--name", name, "--memory", LIMIT, "--memory-swap", LIMIT, *CLOSED]
    command += ["--publish", f"127.0.0.1:{port}:8080", "--volume", f"{model}:/opt/ml/model:ro", IMAGE, "serve"]
    done = engine(*command, check=False)
    if done.returncode != 0:
        raise BenchError(f"the endpoint can't be started: {done.stderr.strip()}")
    try:
        yield port, name
    finally:
        engine("rm", "--force", name)


def _processes(name: str) -> set[int]:
    shown = engine("inspect", "--format", "{{.State.Pid}}", name)
    return process_tree([int(shown.stdout)]) if int(shown.stdout) else set()


def _expected(port: int, folder: Path) -> list[load.Picture]:
    """One picture of each class with what it is answered while nobody else asks, where the model is sure of it."""
    chosen: dict[str, Path] = {}
    for path in sorted(folder.glob("*.jpg")):
        chosen.setdefault(path.name.rpartition("_")[0], path)
    client, found = load.Client(port), []
    for path in chosen.values():
        status, body = client.ask("/invocations", load.Picture(path.name, path.read_bytes(), ""))
        answer = json.loads(body)
        if status == 200 and answer["confidence"] >= load.SURE:
            found.append(load.Picture(path.name, path.read_bytes(), answer["class"]))
    client.close()
    if len(found) < 5:
        raise BenchError(f"the model is sure of {len(found)} of {len(chosen)} pictures in {folder}; give one of these")
    return found


def _phase(
    port: int, pictures: list[load.Picture], minutes: float, name: str, hostile_clients: int
) -> tuple[Honest, dict[str, Counter[int]], list[float]]:
    """Runs the clients for so long; a line a minute, and the memory (MB) at the end of each."""
    stop, found, memory = threading.Event(), Honest(), list[float]()
    told: dict[str, Counter[int]] = {}
    threads = [threading.Thread(target=_honest, args=(port, pictures, found, stop, seed)) for seed in range(HONEST)] + [
        threading.Thread(target=_hostile, args=(port, pictures[0].body, told, stop, seed))
        for seed in range(hostile_clients)
    ]
    for thread in threads:
        thread.start()
    end = time.monotonic() + 60 * minutes
    while time.monotonic() < end:
        time.sleep(max(0.0, min(60.0, end - time.monotonic())))
        memory.append(round(pss_mb(_processes(name))))
        print(f"{found.summary()} {memory[-1]} MB", flush=True)
    stop.set()
    for thread in threads:
        thread.join()
    return found, told, memory


def markdown(result: dict[str, Any]) -> str:
    phases = [
        (name, *(result[name][key] for key in ("requests", "p50_ms", "p99_ms", "longest_ms", "wrong", "failed")))
        for name in ("alone", "beside", "after")
    ]
    hostile_rows = [
        (name, " ".join(f"{status}: {count}" for status, count in sorted(counts.items())))
        for name, counts in sorted(result["hostile"].items())
    ]
    memory = result["memory_mb"]
    return "\n\n".join(
        [
            "# Honest clients beside hostile ones",
            describe(result["machine"]),
            f"{HONEST} honest clients, {HOSTILE} hostile ones for {result['minutes']:g} minutes, a container of "
            f"{LIMIT} memory. p99 beside them to alone: {result['p99_ratio']:.1f}. Processes started anew: "
            f"{result['started_anew']}. Memory at the start {memory['start']} MB, each minute beside them "
            f"{memory['beside']}, a minute after them {memory['after'][-1]} MB.",
            table(("phase", "requests", "p50 ms", "p99 ms", "longest ms", "wrong", "failed"), phases),
            "What the hostile clients were answered (0: the connection ended without an answer):",
            table(("action", "status: times"), hostile_rows),
        ]
    )


def measure(model: Path, minutes: float) -> dict[str, Any]:
    alone_minutes = min(2.0, minutes / 2)
    with _served(model) as (port, name):
        _wait(port, name)
        pictures = _expected(port, pets_folder())
        before, start = _processes(name), round(pss_mb(_processes(name)))
        alone, _, _ = _phase(port, pictures, alone_minutes, name, 0)
        beside, told, memory = _phase(port, pictures, minutes, name, HOSTILE)
        after, _, memory_after = _phase(port, pictures, max(1.0, alone_minutes), name, 0)
        log = engine("logs", name)
        anew = len(before - _processes(name))
    for line in [line for line in (log.stdout + log.stderr).splitlines() if " WARN" in line or " ERROR" in line][:20]:
        print(line, flush=True)
    return {
        "machine": machine(),
        "minutes": minutes,
        "alone": alone.summary(),
        "beside": beside.summary(),
        "after": after.summary(),
        "p99_ratio": beside.summary()["p99_ms"] / alone.summary()["p99_ms"],
        "started_anew": anew,
        "memory_mb": {"start": start, "beside": memory, "after": memory_after},
        "hostile": {action: dict(counts) for action, counts in told.items()},
    }


def _wait(port: int, name: str) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and _processes(name):
        try:
            if load.Client(port).get("/ping") == 200:
                return
        except OSError:
            pass
        time.sleep(0.1)
    log = engine("logs", name, check=False)
    raise BenchError(f"the endpoint does not answer:\n{(log.stdout + log.stderr)[-2000:]}")


def main() -> int:
    model = os.environ.get("MODEL")
    if not model:
        print("error: name the model folder to serve: make bench-soak MODEL=build/train/model", file=sys.stderr)
        return 2
    try:
        minutes = float(os.environ.get("MINUTES") or (2 if QUICK else 60))
        result = measure(Path(model).resolve(), minutes)
    except ValueError as error:
        print(f"error: MINUTES is a number of minutes: {error}", file=sys.stderr)
        return 2
    except BenchError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    write("soak", result, markdown(result))
    bad = [phase for phase in ("alone", "beside", "after") if result[phase]["wrong"] or result[phase]["failed"]]
    if bad or result["started_anew"]:
        print(f"error: wrong or failed: {bad or 'none'}; processes started anew: {result['started_anew']}", flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
