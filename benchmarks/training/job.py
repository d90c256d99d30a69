"""One training job on a CPU: seconds to the accuracy that plain fastai reaches, in interleaved rounds."""

from __future__ import annotations

import csv
import json
import os
import shutil
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.common import (
    BUILD,
    QUICK,
    describe,
    machine,
    pets_folder,
    ratios,
    results_folder,
    show,
    spread,
    table,
    write,
)
from benchmarks.training.programs import PLAIN, run
from fastai_local.job import link_channels, write_tree
from fastai_training.labels import Example, find_examples
from fastai_training.pictures_check import leave_out_unreadable
from fastai_training.split import stratified_split

SEED, VALID_PCT = 42, 0.2
#: Lesson 1's recipe.
FROZEN, UNFROZEN = (1, 1) if QUICK else (3, 3)
SIZE = 64 if QUICK else 224
ROUNDS = 1 if QUICK else int(os.environ.get("ROUNDS", "2"))
BATCH_SIZE = 64
#: The shortest recipe that reached plain fastai's accuracy on other splits (seeds 1 to 3); not chosen on this one.
RECIPE = {"freeze_epochs": "1", "epochs": "0"}
PARAMETERS = {"arch": "efficientnet_lite0", "image_size": str(SIZE), "seed": str(SEED), **RECIPE}


def split(folder: Path) -> tuple[list[Example], list[Example]]:
    """The pictures that the built-in program trains on and holds out, with its defaults."""
    usable = leave_out_unreadable(find_examples(folder, "auto", ""), strict=False, processes=os.cpu_count() or 1)
    return stratified_split(usable.items, VALID_PCT, SEED)


def plain(folder: Path, train: Sequence[Example], valid: Sequence[Example]) -> dict[str, Any]:
    """One run of plain fastai."""
    described = {
        "train": [str(item.path) for item in train],
        "valid": [str(item.path) for item in valid],
        "seed": SEED,
        "size": SIZE,
        "batch_size": BATCH_SIZE,
        "freeze_epochs": FROZEN,
        "epochs": UNFROZEN,
        "out": str(folder / "result.json"),
    }
    (folder / "job.json").write_text(json.dumps(described), encoding="utf-8")
    done = run([str(PLAIN), str(folder / "job.json")], folder)
    result: dict[str, Any] = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    return result | {"job_seconds": done.seconds, "peak_mb": done.peak_mb}


def ours(folder: Path, pictures: Path, valid: Sequence[Example]) -> dict[str, Any]:
    """One job of the built-in program, as ``make train`` runs it.

    Raises RuntimeError when it held out other pictures than ``valid``.
    """
    channels = {"training": pictures}
    write_tree(folder, channels, PARAMETERS)
    link_channels(folder, channels)
    done = run(["-m", "fastai_container", "train"], folder, {"SAGEMAKER_BASE_DIR": str(folder)})
    output = folder / "output" / "data"
    with (output / "validation.csv").open(encoding="utf-8") as file:
        held_out = {row["file"] for row in csv.DictReader(file)}
    if held_out != {item.path.relative_to(pictures).as_posix() for item in valid}:
        raise RuntimeError("the two programs would be judged on different pictures")
    summary = json.loads((output / "summary.json").read_text(encoding="utf-8"))
    with (output / "history.csv").open(encoding="utf-8") as file:
        history = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    trained = done.when("epoch=", last=True)
    chosen, written = done.when("program ", last=True), done.when("model written")
    return {
        "job_seconds": done.seconds,
        "training_seconds": summary["training_seconds"],
        "error_rate": summary["metrics"]["error_rate"],
        "peak_mb": done.peak_mb,
        "history": history,
        "parts": {
            "imports and checking the pictures": trained - summary["training_seconds"],
            "training and validation": summary["training_seconds"],
            "int8 calibration, scoring the programs": chosen - trained,
            "writing the model folder": written - chosen,
            "report": done.seconds - written,
        },
        "program": summary["program"],
    }


def reached(history: Sequence[Mapping[str, float]], error_rate: float) -> float:
    """Seconds to the end of the first epoch that was as good. Raises ValueError when none was."""
    return min(row["seconds"] for row in history if row["error_rate"] <= error_rate + 1e-9)


def frozen_rate(history: Sequence[Mapping[str, float]], epochs: int) -> float:
    """Training pictures a second, the median of the first ``epochs``, in which the body was frozen."""
    return statistics.median(row["images_per_second"] for row in history[:epochs])


def compare(rounds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The facts of all ``rounds``, each {"plain": ..., "ours": ...}."""
    theirs, mine = [item["plain"] for item in rounds], [item["ours"] for item in rounds]

    def series(name: str) -> dict[str, Any]:
        a, b = [item[name] for item in theirs], [item[name] for item in mine]
        return {"plain": spread(a), "ours": spread(b), "ratio": ratios(b, a)}

    facts: dict[str, Any] = {name: series(name) for name in ("training_seconds", "job_seconds", "peak_mb")}
    a = [frozen_rate(item["history"], FROZEN) for item in theirs]
    b = [frozen_rate(item["history"], int(RECIPE["freeze_epochs"])) for item in mine]
    facts["frozen_images_per_second"] = {"plain": spread(a), "ours": spread(b), "ratio": ratios(b, a)}
    first = [reached(item["history"], item["error_rate"]) for item in theirs]
    facts["first_as_good_seconds"] = {
        "plain": spread(first),
        "ours": facts["training_seconds"]["ours"],
        "ratio": ratios([item["training_seconds"] for item in mine], first),
    }
    facts["error_rate"] = {
        "plain": spread([item["error_rate"] for item in theirs]),
        "ours": spread([item["error_rate"] for item in mine]),
    }
    facts["reached"] = all(item["ours"]["error_rate"] <= item["plain"]["error_rate"] + 1e-9 for item in rounds)
    facts["parts"] = {name: spread([item["parts"][name] for item in mine]) for name in mine[0]["parts"]}
    return facts


ROWS = (
    ("training_seconds", "training, seconds", 1),
    ("first_as_good_seconds", "the same, plain fastai stopped at its first epoch as good as its last, seconds", 1),
    ("job_seconds", "whole job, seconds (ours: with the int8 program, the model folder and the report)", 1),
    ("frozen_images_per_second", "body frozen, pictures a second", 1),
    ("peak_mb", "memory, MB (highest PSS of all processes)", 0),
)


def report(facts: Mapping[str, Any]) -> str:
    """The facts as Markdown."""
    rows = [
        [text, *(show(facts[name][who], digits) for who in ("plain", "ours")), show(facts[name]["ratio"], 3)]
        for name, text, digits in ROWS
    ]
    errors = [show({key: 100 * value for key, value in facts["error_rate"][who].items()}) for who in ("plain", "ours")]
    rows.insert(0, ["held-out error, %", *errors, ""])
    verdict = "at most as many errors in every round" if facts["reached"] else "MORE errors in some round"
    recipe = " ".join(f"{name}={value}" for name, value in facts["parameters"].items())
    conditions = (
        f"EfficientNet-Lite0 from the same ImageNet weights, {SIZE} px, batches of {BATCH_SIZE}; "
        f"{facts['training_pictures']} pictures of {facts['classes']} breeds to train on and the same "
        f"{facts['validation_pictures']} held out. Plain fastai: lesson 1, {FROZEN} epochs frozen and {UNFROZEN} not, "
        f"with `aug_transforms`. Ours: the built-in program with `{recipe}`, the shortest recipe that reached plain "
        f"fastai's accuracy on other splits (seeds 1 to 3); {verdict}. {facts['rounds']} rounds, plain fastai and ours "
        "first in turn; a ratio is ours to plain fastai's in the same round. Median (lowest–highest)."
    )
    return "\n\n".join(
        [
            "# Training beside plain fastai",
            conditions,
            table(["", "plain fastai", "ours", "ratio"], rows),
            "Where our job's time goes:",
            table(["part", "seconds"], [[name, show(value)] for name, value in facts["parts"].items()]),
            describe(facts["machine"]),
        ]
    )


def plot(rounds: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Held-out error over seconds of training, a line for each run."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4), dpi=120)
    for who, colour, label in (("plain", "tab:grey", "plain fastai"), ("ours", "tab:blue", "ours")):
        for number, item in enumerate(rounds):
            history, passed = item[who]["history"], 0.0
            seconds = []
            for row in history:
                # Ours are each epoch's own.
                passed = row["seconds"] if who == "plain" else passed + row["seconds"]
                seconds.append(passed)
            errors = [100 * row["error_rate"] for row in history]
            axes.plot(seconds, errors, "o-", color=colour, label=None if number else label)
    axes.set(xlabel="seconds of training", ylabel="held-out error, %", ylim=(0, None), xlim=(0, None))
    axes.grid(alpha=0.3)
    axes.legend()
    figure.tight_layout()
    figure.savefig(path)
    pyplot.close(figure)


def main() -> int:
    pictures = pets_folder().resolve()
    train, valid = split(pictures)
    work = BUILD / "bench-training"
    rounds: list[dict[str, Any]] = []
    for number in range(ROUNDS):
        item: dict[str, Any] = {}
        for who in ("plain", "ours") if number % 2 == 0 else ("ours", "plain"):
            folder = work / f"{who}-{number}"
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            item[who] = plain(folder, train, valid) if who == "plain" else ours(folder, pictures, valid)
            done = item[who]
            print(
                f"round {number + 1}, {who}: {done['training_seconds']:.1f} s, {done['error_rate']:.1%} wrong",
                flush=True,
            )
        rounds.append(item)
    facts = compare(rounds) | {
        "rounds": len(rounds),
        "runs": rounds,
        "parameters": PARAMETERS,
        "training_pictures": len(train),
        "validation_pictures": len(valid),
        "classes": len({item.label for item in train}),
        "machine": machine(),
    }
    write("training", facts, report(facts))
    plot(rounds, results_folder() / "training.png")
    return 0
