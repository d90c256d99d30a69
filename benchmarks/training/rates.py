"""Pictures a second of the whole network's training on a GPU: ours, plain fastai's, and ours without a loader."""

from __future__ import annotations

import json
import shutil
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.common import BUILD, QUICK, describe, machine, pets_folder, ratios, show, spread, table, write
from benchmarks.training.job import BATCH_SIZE, SEED, SIZE, split
from benchmarks.training.programs import PLAIN, run
from fastai_training.data.labels import Example

ROUNDS = 1 if QUICK else 3
EPOCHS = 1 if QUICK else 3
#: An epoch so long that its beginning and end don't count.
PICTURES = 1024 if QUICK else 8192
TO_REACH = {"plain": 2.0, "synthetic": 0.8}


def repeated(items: Sequence[Example], pictures: int) -> list[Example]:
    """``items`` again and again, at least ``pictures`` of them."""
    return list(items) * -(-pictures // len(items))


def round_of(folder: Path, train: Sequence[Example], valid: Sequence[Example], device: str) -> dict[str, float]:
    """Pictures a second: plain fastai's, ours, ours on synthetic data."""
    folder.mkdir(parents=True)
    described = {
        "train": [str(item.path) for item in train],
        "valid": [str(item.path) for item in valid],
        "seed": SEED,
        "size": SIZE,
        "batch_size": BATCH_SIZE,
        "freeze_epochs": 1,
        "epochs": EPOCHS,
        "out": str(folder / "plain.json"),
    }
    (folder / "plain-job.json").write_text(json.dumps(described), encoding="utf-8")
    run([str(PLAIN), str(folder / "plain-job.json")], folder)
    plain = json.loads((folder / "plain.json").read_text(encoding="utf-8"))["history"]
    ours = {
        "train": [(str(item.path), item.label) for item in train],
        "parameters": {"arch": "efficientnet_lite0", "image_size": SIZE, "batch_size": BATCH_SIZE, "seed": SEED},
        "device": device,
        "epochs": EPOCHS,
        "out": str(folder / "ours.json"),
    }
    (folder / "ours-job.json").write_text(json.dumps(ours), encoding="utf-8")
    run(["-m", "benchmarks.training.steps", str(folder / "ours-job.json")], Path.cwd())
    steps = json.loads((folder / "ours.json").read_text(encoding="utf-8"))
    return {
        "plain": statistics.median(row["images_per_second"] for row in plain[1:]),
        "ours": statistics.median(steps["real"]),
        "synthetic": statistics.median(steps["synthetic"]),
    }


def compare(rounds: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """Rates, and ours over the others' with the figure to reach."""
    ours = [item["ours"] for item in rounds]
    facts: dict[str, Any] = {name: spread([item[name] for item in rounds]) for name in ("plain", "ours", "synthetic")}
    facts["ratio"] = {name: ratios(ours, [item[name] for item in rounds]) for name in TO_REACH}
    facts["reached"] = {name: facts["ratio"][name]["median"] >= least for name, least in TO_REACH.items()}
    return facts


def report(facts: Mapping[str, Any]) -> str:
    rows = [
        ["plain fastai", show(facts["plain"]), show(facts["ratio"]["plain"], 2), f"≥ {TO_REACH['plain']}"],
        ["ours", show(facts["ours"]), "", ""],
        [
            "ours, one batch again and again",
            show(facts["synthetic"]),
            show(facts["ratio"]["synthetic"], 2),
            f"≥ {TO_REACH['synthetic']}",
        ],
    ]
    return "\n\n".join(
        [
            f"# Training on {facts['gpu']}",
            f"EfficientNet-Lite0, the whole network, {SIZE} px, batches of {BATCH_SIZE}; {facts['pictures']} pictures "
            f"an epoch (the pets again), {facts['rounds']} rounds of {EPOCHS} epochs after one that is not counted. "
            "Median (lowest–highest).",
            table(["", "pictures a second", "ours to it", "to reach"], rows),
            describe(facts["machine"]),
        ]
    )


def main(device: str = "cuda") -> int:
    if device == "cuda" and not torch.cuda.is_available():
        print("error: DEVICE=gpu needs an NVIDIA GPU and torch's CUDA build, and there is none", flush=True)
        return 1
    train, valid = split(pets_folder().resolve())
    train = repeated(train, PICTURES)
    work = BUILD / "bench-training-rates"
    shutil.rmtree(work, ignore_errors=True)
    rounds = []
    for number in range(ROUNDS):
        rounds.append(round_of(work / str(number), train, valid[:BATCH_SIZE], device))
        print(
            f"round {number + 1}: " + ", ".join(f"{name} {rate:.1f}" for name, rate in rounds[-1].items()), flush=True
        )
    facts = compare(rounds) | {
        "rounds": len(rounds),
        "runs": rounds,
        "pictures": len(train),
        "gpu": torch.cuda.get_device_name() if device == "cuda" else "a CPU",
        "machine": machine(),
    }
    write("training-gpu", facts, report(facts))
    return 0
