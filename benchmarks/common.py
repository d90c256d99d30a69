"""What the benchmarks share: where things are, the machine in words, ratios of interleaved rounds, tables."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
#: Made by benchmarks/model.py: a model folder for each precision, pictures, what is right of them.
MODEL = BUILD / "bench-model"
RESULTS = ROOT / "benchmarks" / "results"
#: A run of minutes to see that all works; its figures are not for quoting and are not kept under results/.
QUICK = os.environ.get("QUICK", "") not in ("", "0")
#: The usual set-up, which ratios are to; a picture's usual size.
STOCK, SMALL = "stock torch", "500x375"
_PACKAGES = ("fastai-sagemaker", "torch", "fastai", "openvino", "pillow", "numpy", "multi-model-server")


def pets_folder() -> Path:
    """The pictures of the Oxford-IIIT pets: PETS_DIR, a folder beside the checkout, else fastai's download."""
    for place in (os.environ.get("PETS_DIR"), ROOT.parent / "shared" / "pets"):
        if place and Path(place).is_dir():
            images = Path(place) / "images"
            return images if images.is_dir() else Path(place)
    from fastai_training.sample_data import download_pets

    return download_pets(BUILD / "sample-data")


def _output(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _cpu_model() -> str:
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return names[0].partition(":")[2].strip() if names else platform.machine()


def machine() -> dict[str, Any]:
    """What a result was measured on and with."""
    flags = Path("/proc/cpuinfo").read_text().partition("flags")[2].partition("\n")[0].split()
    memory = int(Path("/proc/meminfo").read_text().partition("MemTotal:")[2].split()[0])
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    dirty = bool(_output("git", "status", "--porcelain", "--untracked-files=no"))
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "instructions": [
            flag for flag in ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8") if flag in flags
        ],
        "memory_gib": round(memory / 2**20, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": versions,
        "revision": _output("git", "rev-parse", "--short", "HEAD") + ("-dirty" if dirty else ""),
        "date": datetime.now(timezone.utc).isoformat(timespec="minutes"),
    }


def describe(facts: Mapping[str, Any]) -> str:
    """``machine()`` as one paragraph."""
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    return (
        f"{facts['date'][:16].replace('T', ' ')} UTC, revision {facts['revision']}. {facts['cpu']}, "
        f"{facts['cores']} cores ({', '.join(facts['instructions'])}), {facts['memory_gib']} GiB, {facts['system']}. "
        f"Python {facts['python']}, {versions}."
    )


def percentile(values: Sequence[float], share: float) -> float:
    """The value that ``share`` (0 to 1) of the values don't exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -(-round(share * 1e6) * len(ordered) // 1_000_000) - 1))]


def spread(values: Sequence[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> dict[str, float]:
    """Of two series that were measured in the same rounds: round by round, since a machine's speed swings between."""
    return spread([mine / other if other else float("inf") for mine, other in zip(ours, theirs, strict=True)])


def show(value: Mapping[str, float] | float, digits: int = 1, unit: str = "") -> str:
    """`12.3 (11.8–12.9)`: the median and the range."""
    if not isinstance(value, Mapping):
        return f"{value:,.{digits}f}{unit}"
    return f"{value['median']:,.{digits}f}{unit} ({value['min']:,.{digits}f}–{value['max']:,.{digits}f})"


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table, the first column to the left, the others to the right."""
    lines = ["| " + " | ".join(header) + " |", "|" + "|".join(["---", *["---:"] * (len(header) - 1)]) + "|"]
    lines += ["| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def results_folder() -> Path:
    """Where results go: a quick run's are not for quoting."""
    folder = BUILD / "bench-quick" if QUICK else RESULTS
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def write(name: str, facts: Mapping[str, Any], markdown: str) -> None:
    """Writes ``name``.json and ``name``.md."""
    (results_folder() / f"{name}.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    (results_folder() / f"{name}.md").write_text(markdown.rstrip() + "\n", encoding="utf-8")
    print(markdown, flush=True)


def pss_mb(pids: Iterable[int]) -> float:
    """Memory of these processes and all that they started (PSS, 10^6 bytes): what is shared counts once."""
    total = 0
    for pid in process_tree(pids):
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue
        total += int(text.partition("\nPss:")[2].split()[0]) * 1024
    return total / 1e6


def cpu_seconds(pids: Iterable[int]) -> dict[str, float]:
    """Processor time that these processes and their descendants have had, by the program's name."""
    found: dict[str, float] = {}
    for pid in process_tree(pids):
        try:
            text = Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            continue
        name = text.partition("(")[2].rpartition(")")[0]
        fields = text.rpartition(")")[2].split()
        found[name] = found.get(name, 0.0) + (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return found


def process_tree(pids: Iterable[int]) -> set[int]:
    """These processes and their descendants."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The second field is the name in parentheses, which may hold anything.
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        children.setdefault(parent, []).append(int(stat.parent.name))
    found: set[int] = set()
    left = list(pids)
    while left:
        pid = left.pop()
        if pid not in found:
            found.add(pid)
            left += children.get(pid, [])
    return found
