"""One training job on a CPU: seconds to the accuracy that plain fastai reaches, in interleaved rounds."""

from __future__ import annotations

import csv
import itertools
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
from benchmarks.local_tools import link_channels, write_tree
from benchmarks.training.programs import PLAIN, run
from fastai_training.data.labels import Example
from fastai_training.data.sources import find_examples
from fastai_training.data.split import stratified_split
from fastai_training.data.verification import leave_out_unreadable

SEED, VALID_PCT = 42, 0.2
#: Lesson 1's recipe.
FROZEN, UNFROZEN = (1, 1) if QUICK else (3, 3)
SIZE = 64 if QUICK else 224
ROUNDS = 1 if QUICK else int(os.environ.get("ROUNDS", "2"))
BATCH_SIZE = 64
#: Of the built-in trainer: as short as it gets, and with an epoch of the whole network.
RECIPES = {"head": {"freeze_epochs": "1", "epochs": "0"}, "whole": {"freeze_epochs": "1", "epochs": "1"}}
NAMES = {"plain": "plain fastai", "head": "ours, head alone", "whole": "ours, one epoch of all"}
PARAMETERS = {"arch": "efficientnet_lite0", "image_size": str(SIZE), "seed": str(SEED)}


def split(folder: Path) -> tuple[list[Example], list[Example]]:
    """The pictures that the built-in trainer trains on and holds out, with its defaults."""
    usable = leave_out_unreadable(find_examples(folder), strict=False, processes=os.cpu_count() or 1)
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


def ours(folder: Path, pictures: Path, valid: Sequence[Example], recipe: Mapping[str, str]) -> dict[str, Any]:
    """One job of the built-in trainer, as ``make train`` runs it.

    Raises RuntimeError when it held out other pictures than ``valid``.
    """
    channels = {"training": pictures}
    write_tree(folder, channels, {**PARAMETERS, **recipe})
    link_channels(folder, channels)
    done = run(["-m", "fastai_sagemaker", "train"], folder, {"SAGEMAKER_BASE_DIR": str(folder)})
    output = folder / "output" / "data"
    with (output / "validation.csv").open(encoding="utf-8") as file:
        held_out = {row["file"] for row in csv.DictReader(file)}
    if held_out != {item.path.relative_to(pictures).as_posix() for item in valid}:
        raise RuntimeError("the two programs would be judged on different pictures")
    summary = json.loads((output / "summary.json").read_text(encoding="utf-8"))
    with (output / "history.csv").open(encoding="utf-8") as file:
        history = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    trained = done.when("epoch=", last=True)
    chosen, written = done.when("serving precision ", last=True), done.when("model written")
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
    """The facts of all ``rounds``, each with a run of every one of NAMES. A ratio is to plain fastai's run."""
    facts: dict[str, Any] = {}
    first = [reached(item["plain"]["history"], item["plain"]["error_rate"]) for item in rounds]
    plain_rate = [frozen_rate(item["plain"]["history"], FROZEN) for item in rounds]
    for who in NAMES:
        runs = [item[who] for item in rounds]
        series = {name: [run[name] for run in runs] for name in ("training_seconds", "job_seconds", "peak_mb")}
        base = {name: [item["plain"][name] for item in rounds] for name in series}
        series["first_as_good_seconds"] = first if who == "plain" else series["training_seconds"]
        base["first_as_good_seconds"] = first
        series["frozen_images_per_second"] = [
            frozen_rate(run["history"], FROZEN if who == "plain" else int(RECIPES[who]["freeze_epochs"]))
            for run in runs
        ]
        base["frozen_images_per_second"] = plain_rate
        facts[who] = {
            name: spread(values) | {"ratio": ratios(values, base[name])} for name, values in series.items()
        } | {"error_rate": spread([run["error_rate"] for run in runs])}
        if who != "plain":
            facts[who]["reached"] = all(
                item[who]["error_rate"] <= item["plain"]["error_rate"] + 1e-9 for item in rounds
            )
            facts[who]["parts"] = {name: spread([run["parts"][name] for run in runs]) for name in runs[0]["parts"]}
    return facts


ROWS = (
    ("training_seconds", "training, seconds", 1),
    ("first_as_good_seconds", "the same, plain fastai's until its first epoch as good as its last, seconds", 1),
    ("job_seconds", "whole job, seconds (ours: with the int8 program, the model folder and the report)", 1),
    ("frozen_images_per_second", "body frozen, pictures a second", 1),
    ("peak_mb", "memory, MB (highest PSS of all processes)", 0),
)


def report(facts: Mapping[str, Any]) -> str:
    """The facts as Markdown."""

    def cell(who: str, name: str, digits: int) -> str:
        values = facts[who][name]
        text = show({key: values[key] for key in ("median", "min", "max")}, digits)
        return text if who == "plain" else f"{text}; {show(values['ratio'], 3)} of plain"

    def error(who: str) -> str:
        text = show({key: 100 * value for key, value in facts[who]["error_rate"].items()})
        if who == "plain":
            return text
        return text + (
            "; at most plain's in every round" if facts[who]["reached"] else "; MORE than plain's in a round"
        )

    rows = [["held-out error, %", *(error(who) for who in NAMES)]]
    rows += [[text, *(cell(who, name, digits) for who in NAMES)] for name, text, digits in ROWS]
    common = " ".join(f"{name}={value}" for name, value in PARAMETERS.items())
    recipes = "; ".join(
        f"{NAMES[who]}: " + " ".join(f"{name}={value}" for name, value in recipe.items())
        for who, recipe in RECIPES.items()
    )
    conditions = (
        f"EfficientNet-Lite0 from the same ImageNet weights, {SIZE} px, batches of {BATCH_SIZE}; "
        f"{facts['training_pictures']} pictures of {facts['classes']} breeds to train on and the same "
        f"{facts['validation_pictures']} held out. Plain fastai: lesson 1, {FROZEN} epochs frozen and {UNFROZEN} not, "
        f"with `aug_transforms`. Ours: the built-in trainer with `{common}`; {recipes}. {facts['rounds']} rounds, each "
        "in another order; a ratio is to plain fastai's run of the same round. Median (lowest–highest)."
    )
    parts = [
        [name, *(show(facts[who]["parts"][name]) for who in RECIPES)] for name in facts[next(iter(RECIPES))]["parts"]
    ]
    return "\n\n".join(
        [
            "# Training beside plain fastai",
            conditions,
            table(["", *NAMES.values()], rows),
            "Where the seconds of our jobs go:",
            table(["part", *(NAMES[who] for who in RECIPES)], parts),
            describe(facts["machine"]),
        ]
    )


def plot(rounds: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Held-out error over seconds of training, a line for each run."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4), dpi=120)
    for who, colour in zip(NAMES, ("tab:grey", "tab:orange", "tab:blue"), strict=True):
        for number, item in enumerate(rounds):
            history = item[who]["history"]
            # Ours are each epoch's own; plain fastai's count from the beginning.
            seconds = [row["seconds"] for row in history]
            if who != "plain":
                seconds = list(itertools.accumulate(seconds))
            errors = [100 * row["error_rate"] for row in history]
            axes.plot(seconds, errors, "o-", color=colour, label=None if number else NAMES[who])
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
    described = {
        "training_pictures": len(train),
        "validation_pictures": len(valid),
        "classes": len({item.label for item in train}),
        "parameters": PARAMETERS,
        "recipes": RECIPES,
        "machine": machine(),
    }
    rounds: list[dict[str, Any]] = []
    for number in range(ROUNDS):
        item: dict[str, Any] = {}
        for who in NAMES if number % 2 == 0 else reversed(NAMES):
            folder = work / f"{who}-{number}"
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            if who == "plain":
                item[who] = plain(folder, train, valid)
            else:
                item[who] = ours(folder, pictures, valid, RECIPES[who])
            seconds, wrong = item[who]["training_seconds"], item[who]["error_rate"]
            print(f"round {number + 1}, {NAMES[who]}: {seconds:.1f} s of training, {wrong:.1%} wrong", flush=True)
        rounds.append(item)
        # After each round: one that is cut short loses only that round.
        facts = described | compare(rounds) | {"rounds": len(rounds), "runs": rounds}
        write("training", facts, report(facts))
        plot(rounds, results_folder() / "training.png")
    return 0
