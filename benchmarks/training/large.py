"""``make bench-large``: very many pictures, found, labelled and read until the first batch of training is there.

With ``--baseline PATH``, a checkout of another commit, that one is measured too, in turns. Each measurement is a
process of its own: ``python -m benchmarks.training.large find|batch FOLDER`` prints it as JSON.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.common import QUICK, ROOT, describe, machine, ratios, show, spread, table, write
from benchmarks.training.programs import run

PICTURES = 5_000 if QUICK else 200_000
CLASSES = 100
#: Pictures that the rate of the check before training is measured on: checking all would take longer than all else.
CHECKED = 500 if QUICK else 5_000
ROUNDS = 1 if QUICK else int(os.environ.get("ROUNDS", "3"))
OURS, BASELINE = "ours", "baseline"


def generate(root: Path, pictures: int, classes: int = CLASSES) -> None:
    """Write ``pictures`` JPEGs of 40x32 pixels, no two the same, below ``root``, as many in each class's folder."""
    from PIL import Image

    chance = random.Random(0)
    for number in range(classes):
        buffer = io.BytesIO()
        Image.frombytes("RGB", (40, 32), chance.randbytes(40 * 32 * 3)).save(buffer, "JPEG", quality=50)
        start, rest = buffer.getvalue()[:2], buffer.getvalue()[2:]
        folder = root / f"class_{number:03d}"
        folder.mkdir(parents=True)
        for index in range(number, pictures, classes):
            # A comment that no other file has costs no encoding, and decoders skip it.
            comment = b"%012d" % index
            content = start + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + rest
            (folder / f"p{index:07d}.jpg").write_bytes(content)


def peak_kib() -> int:
    """The highest memory that this process has had, in KiB as Linux counts it."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


class Timer:
    """Seconds by the clock of one part after another."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.last = time.perf_counter()

    def mark(self, part: str) -> None:
        now = time.perf_counter()
        self.seconds[part] = now - self.last
        self.last = now

    def skip(self) -> None:
        """Count what was done since the last part nowhere."""
        self.last = time.perf_counter()


def measure_find(root: Path) -> dict[str, Any]:
    """Find and label the pictures below ``root``; memory before it is that of Python with what this imports."""
    import fastai_training
    from fastai_training.data.sources import find_examples

    before, processor, timer = peak_kib(), time.process_time(), Timer()
    found = find_examples(root)
    timer.mark("find")
    processor = time.process_time() - processor
    return {
        "code": str(fastai_training.__file__),
        "pictures": len(found.items),
        "classes": len(found.vocab),
        "seconds": timer.seconds["find"],
        "processor_seconds": processor,
        "kib_before": before,
        "kib": peak_kib(),
    }


IMPORTS = "imports"
#: In the trainer's order: torch is imported when the pictures are known.
PARTS = {
    "find": "finding and labelling",
    "split": "splitting, looking for uneven classes and copies",
    IMPORTS: "importing torch, fastai and our code",
    "loaders": "making the loaders",
    "digest": "hashing names and sizes, for checkpoints",
    "batch": "the first batch of 64",
}


def measure_batch(root: Path) -> dict[str, Any]:
    """Seconds of each of PARTS until the first batch of training, and of checking CHECKED pictures."""
    import fastai_training
    from fastai_container.resources import cpu_count
    from fastai_training.data.sources import find_examples
    from fastai_training.data.split import stratified_split
    from fastai_training.data.verification import leave_out_unreadable
    from fastai_training.hyperparameters import HyperParameters

    parameters, timer = HyperParameters(), Timer()
    found = find_examples(root)
    timer.mark("find")
    some = replace(found, items=random.Random(0).sample(found.items, min(CHECKED, len(found.items))))
    timer.skip()
    checked = leave_out_unreadable(some, strict=True, processes=cpu_count())
    timer.mark("check")
    train, valid = stratified_split(found.items, parameters.valid_pct, parameters.seed)
    with contextlib.suppress(ImportError):  # a baseline may be older
        from fastai_training.data.quality import examine

        examine(train, valid, [], checked.digests)
    timer.mark("split")
    to_check = len(found.items)
    with contextlib.suppress(ImportError):  # a baseline may be older
        from fastai_training.data.late_check import SAMPLED, is_wanted

        if is_wanted(parameters, fast_file=False, pictures=len(found.items)):
            to_check = len(valid) + min(SAMPLED, len(train))
    import torch

    from fastai_training.data.loaders import build_loaders, worker_count
    from fastai_training.fitting.checkpoints import data_digest

    timer.mark(IMPORTS)
    stats = ((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    workers, _ = worker_count(parameters)
    loaders = build_loaders(train, valid, found.vocab, parameters, stats, torch.device("cpu"), workers)
    timer.mark("loaders")
    data_digest(root, train, valid)
    timer.mark("digest")
    loaders.train.epoch = 0
    pictures, _ = next(iter(loaders.train))
    timer.mark("batch")
    if len(pictures) != parameters.batch_size:
        raise RuntimeError(f"a batch of {len(pictures)} pictures instead of {parameters.batch_size}")
    check_seconds = timer.seconds.pop("check")
    return {
        "code": str(fastai_training.__file__),
        "pictures": len(found.items),
        "seconds": timer.seconds,
        "checked": len(checked.items),
        "to_check": to_check,
        "check_seconds": check_seconds,
        "check_processes": cpu_count(),
        "kib": peak_kib(),
    }


MEASUREMENTS: Mapping[str, Callable[[Path], dict[str, Any]]] = {"find": measure_find, "batch": measure_batch}


def measured(name: str, root: Path, checkout: Path) -> dict[str, Any]:
    """One of MEASUREMENTS, of the code in ``checkout``, in a process of its own.

    Raises RuntimeError when it fails, or when it ran other code.
    """
    path = os.pathsep.join(str(checkout / folder) for folder in ("container", "training"))
    done = run(["-m", "benchmarks.training.large", name, str(root)], ROOT, {"PYTHONPATH": path})
    result: dict[str, Any] = json.loads(done.log[-1][1])
    code = result.pop("code")
    if not Path(code).is_relative_to(checkout):
        raise RuntimeError(f"the code in {checkout} was to be measured, and {code} was")
    return result


def warm(root: Path) -> int:
    """Walk ``root`` once, so that no measurement waits for the disk alone; returns the number of files."""
    return sum(len(files) for _, _, files in os.walk(root))


def compare(rounds: Sequence[Mapping[str, Mapping[str, Any]]]) -> dict[str, dict[str, Any]]:
    """Median, lowest and highest of ``rounds``, for each code that was measured; ratios are of the same round."""
    facts: dict[str, dict[str, Any]] = {}
    for who in rounds[0]:
        series = _series([one[who] for one in rounds])
        facts[who] = {name: spread(values) for name, values in series.items()}
        if who != BASELINE and BASELINE in rounds[0]:
            theirs = _series([one[BASELINE] for one in rounds])
            facts[who] |= {f"{name} ratio": ratios(values, theirs[name]) for name, values in series.items()}
    return facts


def _series(runs: Sequence[Mapping[str, Any]]) -> dict[str, list[float]]:
    finds, batches = [one["find"] for one in runs], [one["batch"] for one in runs]
    parts = [one["seconds"] for one in batches]
    # Imports take as long whatever the pictures are.
    sums = [sum(seconds for name, seconds in one.items() if name != IMPORTS) for one in parts]
    # Not measured: what the rate on a few would come to on those that are checked before training.
    checks = [one["check_seconds"] / one["checked"] * one["to_check"] for one in batches]
    return {
        "find seconds": [one["seconds"] for one in finds],
        "find processor": [one["processor_seconds"] for one in finds],
        "find kib before": [one["kib_before"] for one in finds],
        "find kib": [one["kib"] for one in finds],
        **{f"batch {name}": [one[name] for one in parts] for name in PARTS},
        "batch measured": sums,
        "check rate": [one["checked"] / one["check_seconds"] for one in batches],
        "check pictures": [one["to_check"] for one in batches],
        "check estimate": checks,
        "batch estimate": [known + check for known, check in zip(sums, checks, strict=True)],
        "batch kib": [one["kib"] for one in batches],
    }


def report(facts: Mapping[str, Any]) -> str:
    """The facts as Markdown."""
    who = [name for name in (OURS, BASELINE) if name in facts["measured"]]
    header = ["", *(f"{facts['revisions'][name]}{' (baseline)' if name == BASELINE else ''}" for name in who)]
    header += ["ratio"] if BASELINE in who else []

    def row(text: str, name: str, digits: int = 1) -> list[str]:
        cells = [text, *(show(facts["measured"][one][name], digits) for one in who)]
        return [*cells, show(facts["measured"][OURS][f"{name} ratio"], 2)] if BASELINE in who else cells

    find = [
        row("seconds by the clock", "find seconds"),
        row("processor seconds", "find processor"),
        row("highest memory, KiB", "find kib", 0),
        row("of it before, Python and imports, KiB", "find kib before", 0),
    ]
    batch = [row(f"{text}, seconds", f"batch {name}", 2) for name, text in PARTS.items()]
    batch += [
        row("sum of these but the imports, seconds", "batch measured"),
        row("highest memory of the process, KiB", "batch kib", 0),
        row(f"check before training, pictures a second of {facts['checked']:,}", "check rate", 0),
        row("pictures that are checked before training", "check pictures", 0),
        row("ESTIMATE, not measured: check of these, seconds", "check estimate", 0),
        row("ESTIMATE, not measured: the sum and the check, seconds", "batch estimate", 0),
    ]
    kind = "pictures that were given" if facts.get("given") else "JPEGs of 40×32 pixels in a folder for each class"
    conditions = (
        f"{facts['pictures']:,} {kind}, {facts['classes']} classes, on "
        "a local disk that was walked through once before. Each column is a revision of the code, each measurement a "
        f"process of its own, {facts['rounds']} rounds in turns. Median (lowest–highest); a ratio is to the baseline "
        "in the same round. Memory is `ru_maxrss` of the process that does the work, not of its children."
    )
    check = (
        f"The check decodes a picture once, in {facts['check_processes']} processes. Its rate was measured on "
        f"{facts['checked']:,} pictures; the estimates are this rate times those that are checked before training (the "
        "others are while they are first decoded). Larger pictures take longer. "
        f"The machine's load (processes that run or wait to, the mean of a minute) before the rounds was "
        f"{', '.join(f'{load:.1f}' for load in facts['load'])}: seconds by the clock have what else ran in them."
    )
    return "\n\n".join(
        [
            "# Very many pictures",
            conditions,
            "Finding and labelling (`find_examples`):",
            table(header, find),
            "Until the first batch of training (image_size=224), without a model:",
            table(header, batch),
            check,
            describe(facts["machine"]),
        ]
    )


def revision(checkout: Path) -> str:
    """The commit of ``checkout``, or its folder's name where git knows none."""
    done = subprocess.run(
        ["git", "-C", str(checkout), "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    return done.stdout.strip() if done.returncode == 0 else checkout.name


def measure_all(root: Path, checkouts: Mapping[str, Path], *, given: bool) -> None:
    """Measure each of ``checkouts`` on the pictures below ``root``, and write what was found after each round.

    ``given``: the pictures are a user's own, so the report doesn't say what ``generate`` makes.
    """
    facts: dict[str, Any] = {"machine": machine(), "checked": CHECKED, "given": given}
    facts["revisions"] = {who: revision(path) for who, path in checkouts.items()}
    print(f"{warm(root):,} files in {root}", flush=True)
    rounds: list[dict[str, dict[str, Any]]] = []
    facts["load"] = []
    for number in range(ROUNDS):
        facts["load"].append(os.getloadavg()[0])
        one: dict[str, dict[str, Any]] = {who: {} for who in checkouts}
        for name in MEASUREMENTS:
            for who in checkouts if number % 2 == 0 else reversed(list(checkouts)):
                one[who][name] = measured(name, root, checkouts[who])
                print(f"round {number + 1}, {name}, {who}: {one[who][name]['seconds']}", flush=True)
        rounds.append(one)
        batch, find = one[OURS]["batch"], one[OURS]["find"]
        facts |= {"pictures": find["pictures"], "classes": find["classes"], "checked": batch["checked"]}
        facts |= {"check_processes": batch["check_processes"], "rounds": len(rounds), "runs": rounds}
        facts |= {"measured": compare(rounds)}
        write("large", facts, report(facts))


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line; ends the program with a sentence for what can't be measured."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training.large", description=__doc__)
    pictures = parser.add_mutually_exclusive_group()
    pictures.add_argument("--pictures", type=int, default=PICTURES, help="how many to generate (%(default)s)")
    pictures.add_argument("--folder", type=Path, help="a folder of pictures to measure on, instead of generating them")
    parser.add_argument("--baseline", type=Path, help="a checkout of another commit, to be measured in turns with ours")
    asked = parser.parse_args(arguments)
    if asked.pictures < 2 * CLASSES:
        parser.error(f"--pictures {asked.pictures} is too few: {2 * CLASSES} or more, two for each of the classes")
    if asked.folder and not asked.folder.is_dir():
        parser.error(f"--folder {asked.folder} is no folder")
    if asked.baseline and not (asked.baseline / "training" / "fastai_training").is_dir():
        parser.error(f"--baseline {asked.baseline} is no checkout: it has no training/fastai_training")
    return asked


def main(arguments: Sequence[str]) -> int:
    if len(arguments) == 2 and arguments[0] in MEASUREMENTS:
        print(json.dumps(MEASUREMENTS[arguments[0]](Path(arguments[1]))))
        return 0
    asked = parse(arguments)
    checkouts = {OURS: ROOT} | ({BASELINE: asked.baseline.resolve()} if asked.baseline else {})
    if asked.folder:
        measure_all(asked.folder.resolve(), checkouts, given=True)
        return 0
    with tempfile.TemporaryDirectory(prefix="bench-large-") as folder:
        root = Path(folder).resolve() / "pictures"
        generate(root, asked.pictures)
        measure_all(root, checkouts, given=False)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
