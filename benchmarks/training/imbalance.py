"""``make bench-imbalance``: uneven classes, and what each setting that corrects for them brings.

One breed of cats has many pictures and the others few; what is held out has as many of each. A seed draws the
pictures and is the training's too, so all settings of a seed are trained and judged on the same pictures.
"""

from __future__ import annotations

import csv
import json
import random
import shutil
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.common import BUILD, QUICK, describe, machine, pets_folder, table, write
from benchmarks.local_tools import link_channels, write_tree
from benchmarks.training.programs import run

#: The breeds of cats, the hardest of the pets to tell apart, are those whose files begin with a capital letter.
COMMON = "Bengal"
#: Pictures to train on: of the common breed, and of each other one.
MANY, FEW = 95, 5
#: Pictures of each breed that are held out.
HELD_OUT = 5
SEEDS = (1,) if QUICK else (1, 2, 3)
SETTINGS: dict[str, dict[str, str]] = {
    "none": {},
    "class_weights=balanced": {"class_weights": "balanced"},
    "class_weights=sqrt": {"class_weights": "sqrt"},
    "sampling=balanced": {"sampling": "balanced"},
}
#: The head alone, which after two epochs is far from what it can learn of so few pictures; and no time spent on the
#: choice of the compiled model's precision.
PARAMETERS = {
    "arch": "efficientnet_lite0",
    "image_size": "160",
    "freeze_epochs": "6",
    "epochs": "0",
    "serving_precision": "fp32",
}


@dataclass(frozen=True)
class Drawn:
    """The pictures of each breed: to train on, and to judge by."""

    training: dict[str, list[Path]]
    held_out: dict[str, list[Path]]


def draw(pictures: Iterable[Path], seed: int) -> Drawn:
    """Draw the pictures of all breeds of cats. Raise ValueError where there are too few to draw from."""
    by_breed: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(pictures):
        breed = path.stem.rpartition("_")[0]
        if breed[:1].isupper():
            by_breed[breed].append(path)
    drawn = Drawn({}, {})
    for breed in sorted({COMMON, *by_breed}):
        wanted = MANY if breed == COMMON else FEW
        found = by_breed[breed]
        if len(found) < wanted + HELD_OUT:
            raise ValueError(
                f"{len(found)} pictures of {breed}, and {wanted + HELD_OUT} are needed: name the folder of the "
                "Oxford pets, PETS_DIR=folder"
            )
        random.Random(f"{seed} {breed}").shuffle(found)
        drawn.held_out[breed], drawn.training[breed] = found[:HELD_OUT], found[HELD_OUT : HELD_OUT + wanted]
    if len(drawn.training) < 3:
        raise ValueError(f"pictures of {', '.join(drawn.training)} alone: three breeds of cats or more are needed")
    return drawn


def write_folders(folder: Path, by_breed: Mapping[str, Sequence[Path]]) -> None:
    """Copy the pictures into ``folder``, those of a breed into a folder of its name."""
    for breed, paths in by_breed.items():
        (folder / breed).mkdir(parents=True)
        for path in paths:
            shutil.copyfile(path, folder / breed / path.name)


def judge(rows: Iterable[Mapping[str, str]]) -> dict[str, float]:
    """Shares (0 to 1) of the common and of the rare breeds' pictures, by the rows of validation.csv."""
    pairs = [(row["label"], row["predicted"]) for row in rows]
    common = [pair for pair in pairs if pair[0] == COMMON]
    rare = [pair for pair in pairs if pair[0] != COMMON]
    return {
        "common_right": statistics.mean(label == predicted for label, predicted in common),
        "rare_right": statistics.mean(label == predicted for label, predicted in rare),
        "rare_taken_for_common": statistics.mean(predicted == COMMON for _, predicted in rare),
    }


def train(folder: Path, channels: Mapping[str, Path], parameters: Mapping[str, str]) -> dict[str, float]:
    """One job of the built-in trainer on these channels, and what became of it."""
    write_tree(folder, channels, parameters)
    link_channels(folder, channels)
    done = run(["-m", "fastai_training"], folder, {"SAGEMAKER_BASE_DIR": str(folder)})
    output = folder / "output" / "data"
    metrics = json.loads((output / "summary.json").read_text(encoding="utf-8"))["metrics"]
    with (output / "validation.csv").open(encoding="utf-8") as file:
        judged = judge(csv.DictReader(file))
    return {name: metrics[name] for name in ("balanced_accuracy", "error_rate")} | judged | {"seconds": done.seconds}


def mean(values: Sequence[float]) -> dict[str, float]:
    return {"mean": statistics.mean(values), "min": min(values), "max": max(values)}


def compare(runs: Sequence[Mapping[str, Mapping[str, float]]]) -> dict[str, dict[str, dict[str, float]]]:
    """Mean, lowest and highest over ``runs``, each the results of one seed by setting.

    ``gain``: of balanced accuracy, over the same seed's run without a correction.
    """
    facts: dict[str, dict[str, dict[str, float]]] = {}
    for setting in SETTINGS:
        names = runs[0][setting]
        facts[setting] = {name: mean([one[setting][name] for one in runs]) for name in names}
        gains = [one[setting]["balanced_accuracy"] - one["none"]["balanced_accuracy"] for one in runs]
        facts[setting]["gain"] = mean(gains)
    return facts


COLUMNS = {
    "balanced_accuracy": "balanced accuracy, %",
    "gain": "more than none, points",
    "error_rate": "error rate, %",
    "rare_right": "rare breeds right, %",
    "common_right": f"{COMMON} right, %",
    "rare_taken_for_common": f"rare taken for {COMMON}, %",
}


def report(facts: Mapping[str, Any]) -> str:
    """The facts as Markdown."""

    def cell(setting: str, name: str) -> str:
        if name == "gain" and setting == "none":
            return ""
        found = {key: 100 * value for key, value in facts["settings"][setting][name].items()}
        sign = "+" if name == "gain" else ""
        return f"{found['mean']:{sign}.1f} ({found['min']:{sign}.1f} to {found['max']:{sign}.1f})"

    breeds, seeds = facts["breeds"], facts["seeds"]
    common = " ".join(f"{name}={value}" for name, value in PARAMETERS.items())
    conditions = (
        f"{breeds} breeds of cats: {MANY} pictures of {COMMON} and {FEW} of each other one to train on, {HELD_OUT} of "
        f"each, {breeds * HELD_OUT} in all, held out as the channel `validation`. The trainer with `{common}`, "
        f"seeds {', '.join(map(str, seeds))}: each has pictures of its own, the same for every setting. "
        "Mean (lowest to highest). What is held out is even, so balanced accuracy is what the error rate leaves of "
        f"100 %; one picture of one seed is {100 / (breeds * HELD_OUT):.1f} points."
    )
    rows = [[f"`{setting}`", *(cell(setting, name) for name in COLUMNS)] for setting in SETTINGS]
    return "\n\n".join(
        ["# Uneven classes", conditions, table(["", *COLUMNS.values()], rows), describe(facts["machine"])]
    )


def main() -> int:
    pictures = sorted(pets_folder().resolve().glob("*.jpg"))
    work = BUILD / "bench-imbalance"
    facts: dict[str, Any] = {"parameters": PARAMETERS, "machine": machine()}
    shutil.rmtree(work, ignore_errors=True)
    runs: list[dict[str, dict[str, float]]] = []
    for number, seed in enumerate(SEEDS):
        try:
            drawn = draw(pictures, seed)
        except ValueError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        channels = {"training": work / f"pictures-{seed}" / "train", "validation": work / f"pictures-{seed}" / "valid"}
        write_folders(channels["training"], drawn.training)
        write_folders(channels["validation"], drawn.held_out)
        found: dict[str, dict[str, float]] = {}
        for setting in SETTINGS if number % 2 == 0 else reversed(SETTINGS):
            folder = work / f"{setting}-{seed}"
            found[setting] = train(folder, channels, {**PARAMETERS, "seed": str(seed), **SETTINGS[setting]})
            right, seconds = found[setting]["balanced_accuracy"], found[setting]["seconds"]
            print(f"seed {seed}, {setting}: balanced accuracy {right:.1%} in {seconds:.0f} s", flush=True)
        runs.append(found)
        # After each seed: a run that is cut short loses only that seed.
        facts |= {"breeds": len(drawn.training), "seeds": SEEDS[: len(runs)], "runs": runs, "settings": compare(runs)}
        write("imbalance", facts, report(facts))
    return 0


if __name__ == "__main__":
    sys.exit(main())
