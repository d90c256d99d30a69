"""Tables, claims and the plot of `make bench-serving`, from what it measured."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.common import STOCK, describe, ratios, results_folder, show, spread, table, write

#: As their users run them.
USUAL_BASELINES = ("litserve torch", "torchserve torch", "uvicorn torch")
LARGE = "4000x3000"


def series(result: Mapping[str, Any], cell: str, name: str, key: str = "per_second") -> list[float]:
    """A server's figure in each round; empty when it was not measured there."""
    return [one[key] for one in result["cells"].get(cell, {}).get(name, [])]


def best_baseline(result: Mapping[str, Any], cell: str) -> list[float]:
    """Round by round, the most that any baseline reached as its users run it."""
    known = [values for name in USUAL_BASELINES if (values := series(result, cell, name))]
    return [max(values) for values in zip(*known, strict=True)]


def claims(result: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, float], float, bool]]:
    """Each figure to reach: in words, measured, the limit, and whether more is better."""
    for precision, least in (("int8", 8.0), ("bf16", 5.0)):
        for clients in (16, 64):
            cell, ours = f"500x375 {clients}", f"ours {precision}"
            mine, stock = series(result, cell, ours), series(result, cell, STOCK)
            if mine and stock:
                yield f"{ours} to stock, {clients} clients", ratios(mine, stock), least, True
            if mine and (baselines := best_baseline(result, cell)):
                yield f"{ours} to the best baseline, {clients} clients", ratios(mine, baselines), 1.5, True
            if mine and (bare := series(result, cell, f"bare {precision}")):
                yield f"{ours} to bare processes, {clients} clients", ratios(mine, bare), 0.9, True
    for precision in ("int8", "bf16"):
        ours, cell = f"ours {precision}", "500x375 1"
        mine = series(result, cell, ours, "p50_ms")
        for name, what in ((f"bare {precision} one core", "on one core"), (f"bare {precision}", "on every core")):
            if mine and (limit := series(result, cell, name, "p50_ms")):
                over = spread([one - other for one, other in zip(mine, limit, strict=True)])
                yield f"{ours}, one client: p50 above the bare time {what}, ms", over, 2.0, False
        if mine:
            last = series(result, cell, ours, "p99_ms")
            yield f"{ours}, one client: p99 to p50", ratios(last, mine), 2.0, False
    for precision in ("int8", "bf16"):
        cell = f"{LARGE} 16"
        mine = series(result, cell, f"ours {precision}")
        if mine and (full := series(result, cell, f"bare {precision} full decode")):
            yield (
                f"ours {precision} to bare processes that decode in full, {LARGE}, 16 clients",
                ratios(mine, full),
                3.0,
                True,
            )


def _verdict(measured: Mapping[str, float], limit: float, more: bool) -> str:
    reached = measured["median"] >= limit if more else measured["median"] <= limit
    return "yes" if reached else "no"


def _table_of(result: Mapping[str, Any], cell: str) -> str:
    rows = []
    stock = series(result, cell, STOCK)
    for name, rounds in result["cells"][cell].items():
        figures = {key: spread([one[key] for one in rounds]) for key in ("per_second", "p50_ms", "p99_ms")}
        times = show(ratios(series(result, cell, name), stock), 2) if stock else ""
        right, wrong, errors = (sum(one[key] for one in rounds) for key in ("right", "wrong", "errors"))
        rows.append(
            [
                name,
                show(figures["per_second"]),
                times,
                show(figures["p50_ms"]),
                show(figures["p99_ms"]),
                f"{right / max(1, right + wrong):.1%}",
                errors,
                f"{statistics.median(one['client_cpu'] for one in rounds):.0%}" if "client_cpu" in rounds[0] else "",
            ]
        )
    header = ["server", "pictures/s", "to stock", "p50 ms", "p99 ms", "right", "errors", "client's CPU"]
    return table(header, rows)


def _stages(result: Mapping[str, Any]) -> str:
    """One client, 500x375, ms: the parts in a bare process, GET /ping, and what is left of the request's p50."""
    rows = []
    for name, rounds in result["stages"].items():
        p50 = series(result, "500x375 1", name, "p50_ms")
        names = list(rounds[0])
        left = [whole - sum(one.values()) for whole, one in zip(p50, rounds, strict=True)]
        cpu = [one["cpu_ms"] for one in result["cells"]["500x375 16"][name]]
        java = [one.get("java", 0.0) for one in cpu]
        python = [sum(one.values()) - first for one, first in zip(cpu, java, strict=True)]
        figures = [show(spread([one[part] for one in rounds]), 2) for part in names]
        rows.append(
            [
                name,
                *figures,
                show(spread(left), 2),
                show(spread(p50), 2),
                show(spread(java), 2),
                show(spread(python), 2),
            ]
        )
    header = ["server", *names, "the rest", "p50", "CPU at 16 clients: java", "python"]
    return (
        "Milliseconds. One client, 500x375: the parts as a bare process with every core does them; `ping`: a request "
        "that the front end answers itself (the network and HTTP); the rest is the picture's way through the front end "
        "and the socket to the worker and back, the worker's protocol, and what processes cost each other. CPU: "
        "processor time of a request in batches.\n\n" + table(header, rows)
    )


def markdown(result: Mapping[str, Any]) -> str:
    parts = [
        "# Serving, measured",
        describe(result["machine"]),
        f"ResNet-34, 224 px, 37 classes. {result['rounds']} interleaved rounds of {result['seconds']:g} s for every "
        "load; a figure is the median of the rounds, in parentheses the lowest and the highest; a ratio is taken round "
        "by round. Each server has a worker for each core, and the client shares the cores with it. `right`: answers "
        "with the class that torch gives in fp32 to the picture decoded in full, of pictures that it is sure of. "
        "`bare`: as many processes as cores, each decoding and running batches of 8; with one client, one process and "
        "single pictures, its forward pass on every core, as ours is then, or on one. `torch`: the baseline's "
        "usual set-up, eager fp32; `int8`: our runtime and our way to read a picture under the baseline's server. "
        f"Ours is the image {result['image']} with the host's network; the baselines are plain processes. All servers "
        "stay up throughout; idle ones do nothing, but for LitServe's, which poll and are stopped (SIGSTOP) meanwhile.",
        "## Figures to reach",
        table(
            ["figure", "measured", "to reach", "reached"],
            [
                [what, show(measured, 2), f"{'≥' if more else '≤'} {limit:g}", _verdict(measured, limit, more)]
                for what, measured, limit, more in claims(result)
            ],
        ),
    ]
    scores = {
        name: one["milliseconds"] for facts in result["programs"].values() for name, one in facts["scores"].items()
    }
    parts += [
        "The forward pass alone, on one core, as the export measured it: "
        + ", ".join(f"{name} {milliseconds:.1f} ms" for name, milliseconds in scores.items())
        + " a picture."
    ]
    if any(result["stages"].values()):
        parts += ["## Where the time of one request goes", _stages(result)]
    for cell in result["cells"]:
        size, clients = cell.split()
        facts = result["pictures"][size]
        parts += [f"## {size}, {clients} client{'' if clients == '1' else 's'}"]
        parts += [f"{facts['count']} pictures of {facts['mean_bytes'] / 1e3:,.0f} kB.", _table_of(result, cell)]
    parts += ["## Memory after load, PSS"]
    parts += [table(["server", "MB"], [[name, f"{value:,}"] for name, value in result["memory_mb"].items()])]
    return "\n\n".join(parts)


def plot(result: Mapping[str, Any]) -> None:
    """serving.png: throughput by clients, and by the pictures' size."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(13, 5.5), gridspec_kw={"width_ratios": [1.1, 1]})
    small = [cell for cell in result["cells"] if cell.startswith("500x375")]
    names = list(result["cells"][small[0]])
    colours = {name: f"C{index % 10}" for index, name in enumerate(names)}
    for name in names:
        known = [cell for cell in small if series(result, cell, name)]
        values = [spread(series(result, cell, name)) for cell in known]
        clients = [int(cell.split()[1]) for cell in known]
        middle = [value["median"] for value in values]
        style = "--" if name.startswith("bare") else "-" if name.startswith("ours") else ":"
        left.plot(clients, middle, style, marker="o", ms=4, color=colours[name], label=name)
        left.fill_between(
            clients, [v["min"] for v in values], [v["max"] for v in values], color=colours[name], alpha=0.12
        )
    left.set(xscale="log", xlabel="clients", ylabel="pictures a second", title="500×375", ylim=(0, None))
    left.set_xticks([1, 4, 16, 64], ["1", "4", "16", "64"])
    left.legend(fontsize=8)
    sizes = [cell for cell in result["cells"] if cell.endswith(" 16")]
    width = 0.8 / len(names)
    for index, name in enumerate(names):
        heights = [statistics.median(series(result, cell, name) or [float("nan")]) for cell in sizes]
        places = [group + index * width for group in range(len(sizes))]
        right.bar(places, heights, width, color=colours[name], label=name)
    right.set_xticks([group + 0.4 for group in range(len(sizes))], [cell.split()[0] for cell in sizes])
    right.set(yscale="log", ylabel="pictures a second", title="16 clients, by size of the pictures")
    figure.suptitle("ResNet-34 on " + f"{result['machine']['cores']} cores of {result['machine']['cpu']}", fontsize=11)
    figure.tight_layout()
    figure.savefig(results_folder() / "serving.png", dpi=110)


def write_results(result: Mapping[str, Any]) -> None:
    """Tables and the plot; ``python -m benchmarks.serving_report`` writes them again from serving.json."""
    write("serving", result, markdown(result))
    plot(result)


if __name__ == "__main__":
    write_results(json.loads((results_folder() / "serving.json").read_text(encoding="utf-8")))
