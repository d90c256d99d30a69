"""`make bench-start`: from the start of a server's process to its first right answer, and memory by workers."""

from __future__ import annotations

import os
import sys
from typing import Any

from benchmarks import load, model
from benchmarks.common import (
    MODEL,
    QUICK,
    SMALL,
    STOCK,
    describe,
    machine,
    ratios,
    results_folder,
    show,
    spread,
    table,
    write,
)
from benchmarks.servers import Server

#: In a container (docker run is part of its time), as plain processes, and the baselines as plain processes.
STARTED = [
    ("ours", "int8"),
    ("ours-native", "int8"),
    ("stock", "torch"),
    ("litserve", "torch"),
    ("torchserve", "torch"),
    ("uvicorn", "torch"),
]
ROUNDS = int(os.environ.get("ROUNDS", "1" if QUICK else "4"))
WORKERS = (2,) if QUICK else (1, 2, 4)


def _start_times(picture: load.Picture) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for number in range(ROUNDS):
        for kind, variant in STARTED:
            server = Server(kind, variant)
            try:
                server.start()
                found.setdefault(server.name, []).append(server.wait(picture))
            finally:
                server.stop()
        print(
            f"round {number + 1} of {ROUNDS}: {', '.join(f'{n} {t[-1]:.1f} s' for n, t in found.items())}", flush=True
        )
    return found


def _memory(pictures: list[load.Picture]) -> dict[str, dict[str, float]]:
    """MB (PSS) after load, by server and number of workers."""
    found: dict[str, dict[str, float]] = {}
    for kind, variant in STARTED:
        for workers in WORKERS:
            server = Server(kind, variant, workers=workers)
            try:
                server.start()
                server.wait(pictures[0])
                load.run(server.port, server.path, pictures, 16, 2.0, 4.0)
                found.setdefault(server.name, {})[str(workers)] = round(server.memory_mb())
            finally:
                server.stop()
        print(f"memory of {kind} {variant}: {found[server.name]}", flush=True)
    return found


def markdown(result: dict[str, Any]) -> str:
    seconds, stock = result["seconds"], result["seconds"][STOCK]
    rows = [[name, show(spread(times), 2), show(ratios(times, stock), 2)] for name, times in seconds.items()]
    memory = [[name, *(f"{found[str(count)]:.0f}" for count in WORKERS)] for name, found in result["memory_mb"].items()]
    return "\n\n".join(
        [
            "# Start and memory, measured",
            describe(result["machine"]),
            "ResNet-34, 224 px. Seconds from the start of the process (for `ours`: of `docker run`) to the first right "
            f"answer, with a worker for each core: median, lowest and highest of {ROUNDS} interleaved rounds, with "
            "files in the page cache. `ours-native` is the same without a container.",
            table(["server", "seconds", "to stock"], rows),
            "Memory (PSS, MB) of all its processes after two seconds of load by 16 clients, by the number of workers.",
            table(["server", *(f"{count} worker{'s' if count > 1 else ''}" for count in WORKERS)], memory),
        ]
    )


def plot(result: dict[str, Any]) -> None:
    """start.png: seconds and memory."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 4))
    names = list(result["seconds"])
    middles = [spread(result["seconds"][name]) for name in names]
    errors = [[v["median"] - v["min"] for v in middles], [v["max"] - v["median"] for v in middles]]
    left.barh(names, [v["median"] for v in middles], xerr=errors, color=["C0" if "ours" in n else "C7" for n in names])
    left.set(title="start to the first right answer", xlabel="seconds")
    left.invert_yaxis()
    for name in names:
        known = result["memory_mb"][name]
        right.plot([int(count) for count in known], list(known.values()), marker="o", label=name)
    right.set(title="memory", xlabel="workers", ylabel="MB (PSS)", ylim=(0, None), xticks=list(WORKERS))
    right.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(results_folder() / "start.png", dpi=110)


def main() -> int:
    facts = model.ensure()
    pictures = load.pictures_of(MODEL, SMALL, facts["expected"])
    result: dict[str, Any] = {"machine": machine(), "seconds": _start_times(pictures[0]), "memory_mb": {}}
    write("start", result, markdown(result))  # what ends a long run early must not cost all of it
    result["memory_mb"] = _memory(pictures)
    write("start", result, markdown(result))
    plot(result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
