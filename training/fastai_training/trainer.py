"""The built-in program: read the channels, train, write the model folder and what is worth keeping of the run."""

from __future__ import annotations

import io
import json
import os
import sys
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fastai_container.errors import UserError
from fastai_container.json_file import read_object
from fastai_container.model_folder import ModelManifest, remove_partial
from fastai_container.paths import MLPaths
from fastai_container.resources import cpu_count
from fastai_training.data.labels import DataError, Examples
from fastai_training.data.sources import find_examples
from fastai_training.data.split import stratified_split
from fastai_training.data.verification import leave_out_unreadable
from fastai_training.diagnosis.disk_space import keep
from fastai_training.diagnosis.failure_reason import error_reason
from fastai_training.diagnosis.volumes import VolumeError, obstacle, of_job
from fastai_training.fitting.malloc import give_back, keep_freed_memory
from fastai_training.fitting.stop_signal import Stop
from fastai_training.hyperparameters import HyperParameters, parse
from fastai_training.metrics import final_line
from fastai_training.quoting import csv_text, shown
from fastai_training.world import Processes

TRAINING, VALIDATION, WEIGHTS = "training", "validation", "weights"
#: Other names that users give the training channel.
TRAINING_ALIASES = (TRAINING, "train")


def log(text: str) -> None:
    print(text, flush=True)


@dataclass(frozen=True)
class Channels:
    training: Path
    validation: Path | None
    weights: Path | None


def find_channels(paths: MLPaths) -> Channels:
    """The folders of the input channels. Raises DataError when there is no training channel."""
    present = {path.name: path for path in sorted(paths.data.iterdir()) if path.is_dir()} if paths.data.is_dir() else {}
    training = next((present[name] for name in TRAINING_ALIASES if name in present), None)
    if training is None:
        held = f"there is only {', '.join(map(shown, present))}" if present else "there is none"
        raise DataError(
            f"no channel named {TRAINING} in {paths.data} ({held}); pass the pictures as the channel training"
        )
    return Channels(training, present.get(VALIDATION) or present.get("valid"), present.get(WEIGHTS))


@dataclass(frozen=True)
class Data:
    train: list[Any]
    valid: list[Any]
    vocab: list[str]
    skipped: list[tuple[str, str, str]]
    source: str


def _usable(root: Path, channel: str, parameters: HyperParameters, say: Callable[[str], None], cores: int) -> Examples:
    found = find_examples(root, parameters.label_from, parameters.label_column)
    say(f"channel {channel}: {len(found.items)} pictures of {len(found.vocab)} classes, labels from {found.source}")
    usable = leave_out_unreadable(found, strict=parameters.strict, processes=cores, side=parameters.image_size)
    if usable.skipped:
        named = "; ".join(f"{shown(name)}: {shown(why)}" for name, why in usable.skipped[:5])
        more = " ..." if len(usable.skipped) > 5 else ""
        say(f"channel {channel}: {len(usable.skipped)} pictures left out ({named}{more})")
    return usable


def read_data(channels: Channels, parameters: HyperParameters, say: Callable[[str], None], cores: int) -> Data:
    """Training and validation examples. Raises DataError."""
    training = _usable(channels.training, TRAINING, parameters, say, cores)
    skipped = [(TRAINING, name, why) for name, why in training.skipped]
    if channels.validation is None:
        train, valid = stratified_split(training.items, parameters.valid_pct, parameters.seed)
    else:
        validation = _usable(channels.validation, VALIDATION, parameters, say, cores)
        skipped += [(VALIDATION, name, why) for name, why in validation.skipped]
        unknown = sorted(set(validation.vocab) - set(training.vocab))
        if unknown:
            raise DataError(
                f"the validation channel has classes that training does not: {', '.join(map(shown, unknown[:5]))}; "
                "label both channels the same way"
            )
        train, valid = training.items, validation.items
    if len(train) < 2:
        raise DataError(f"{len(train)} picture for training is too few; add pictures")
    say(f"training on {len(train)} pictures, validating on {len(valid)}, {len(training.vocab)} classes")
    return Data(train, valid, training.vocab, skipped, training.source)


def write_skipped(folder: Path, data: Data) -> None:
    """List what was left out, before training: the list is there even if training fails."""
    keep(folder / "skipped.csv", csv_text(("channel", "file", "reason"), data.skipped), log)


def write_run(folder: Path, data: Data, result: Any, root: Path, summary: dict[str, Any]) -> None:
    """What is worth keeping of the run: history.csv, validation.csv and summary.json."""
    if result.history:
        header = tuple(result.history[0])
        epochs = ([row.get(name) for name in header] for row in result.history)
        keep(folder / "history.csv", csv_text(header, epochs), log)
    rows = (
        (item.path.relative_to(root).as_posix(), item.label, data.vocab[row.argmax()], f"{row.max():.4f}")
        for item, row in zip(data.valid, result.probabilities, strict=True)
    )
    keep(folder / "validation.csv", csv_text(("file", "label", "predicted", "confidence"), rows), log)
    keep(folder / "summary.json", json.dumps(summary, indent=2, ensure_ascii=False) + "\n", log)


def train(paths: MLPaths, processes: Processes, stop: Stop) -> None:
    """Run one training job on the folders of ``paths``.

    Raises UserError for what the user can mend, SystemExit when told to stop.
    """
    say = log if processes.is_main else _silent
    parameters = parse(read_object(paths.config / "hyperparameters.json"))
    channels = find_channels(paths)
    if processes.is_main:
        found = obstacle(paths.checkpoints)  # (the other folders were looked at before this process was started)
        if found:
            raise VolumeError(f"checkpoints can't be written: {found}")
    say("hyperparameters: " + " ".join(f"{name}={value}" for name, value in asdict(parameters).items()))
    data = read_data(channels, parameters, say, max(1, cpu_count() // processes.on_host))
    if processes.is_main:
        write_skipped(paths.output_data, data)
    # Only now: what is wrong with the input is told at once, not after the seconds that importing torch takes.
    from fastai_training.exporting.export import versions, write_classifier
    from fastai_training.fitting.fit import fit

    result = fit(
        data.train,
        data.valid,
        data.vocab,
        parameters,
        channels.weights,
        checkpoints=paths.checkpoints,
        model_folder=paths.model,
        data_root=paths.data,
        processes=processes,
        stop=stop,
    )
    give_back()
    if not processes.is_main:
        return
    details = ModelManifest(
        arch=result.arch,
        vocab=data.vocab,
        image_size=parameters.image_size,
        mean=list(result.stats[0]),
        std=list(result.stats[1]),
        metrics=result.metrics,
        hyperparameters=asdict(parameters),
        versions=versions(),
    )
    details = write_classifier(paths.model, result.model, details, data.train, data.valid, parameters.serving_precision)
    log(f"model written to {paths.model}")
    summary = {
        "metrics": result.metrics,
        "classes": len(data.vocab),
        "training_pictures": len(data.train),
        "validation_pictures": len(data.valid),
        "left_out": len(data.skipped),
        "labels_from": data.source,
        "pretrained_weights": result.weights,
        "processes": processes.world,
        "precision": result.precision,
        "program": details.program,
        "training_seconds": round(result.seconds, 1),
        "hyperparameters": asdict(parameters),
        "versions": details.versions,
    }
    root = channels.validation or channels.training
    write_run(paths.output_data, data, result, root, summary)
    _report(paths.output_data, data, result, root, summary)
    served = details.program["scores"][details.program["precision"]]
    final = {"serving_error_rate": served["error_rate"], "serving_milliseconds": served["milliseconds"]}
    log(final_line(result.metrics | {"training_seconds": result.seconds} | final))


def _report(folder: Path, data: Data, result: Any, root: Path, summary: dict[str, Any]) -> None:
    """Write the report; the model is written already, and a chart that can't be drawn is no reason to lose it."""
    from fastai_training.reporting.report import Run, write_report

    counts = Counter(item.label for item in data.train)
    run = Run(
        root, data.valid, result.probabilities.numpy(), data.vocab, result.history, data.skipped, summary, dict(counts)
    )
    try:
        written = write_report(folder, run, log)
    except Exception as error:
        traceback.print_exc()
        log(f"warning: there is no report of this run, writing it failed: {_reason(error)}")
    else:
        if written:
            log(f"report written to {folder / 'report.html'}")


def _silent(_text: str) -> None:
    """What the processes other than the main one say: it says it already."""


def _reason(error: BaseException) -> str:
    """One sentence in the user's terms for an error that is not a UserError."""
    several = Processes.from_environment().several
    return error_reason(error, of_job(MLPaths.from_environment()), several=several)


def main() -> int:
    """Train in /opt/ml and return the exit code; a failure's reason goes to /opt/ml/output/failure and the log."""
    # Before torch is imported, which reads it once: threads that spin while they wait for each other take the cores
    # from the loader's workers and from whatever else runs there (two cores, two jobs: a factor of ten).
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    keep_freed_memory()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a file's name need not be UTF-8
    paths = MLPaths.from_environment()
    stop = Stop(lambda: remove_partial(paths.model))
    stop.install()
    try:
        train(paths, Processes.from_environment(), stop)
    except UserError as error:
        reason = str(error)
    except Exception as error:
        traceback.print_exc()
        reason = _reason(error)
    else:
        return 0
    # Of several processes the first to fail knows why; the others only see it go.
    reason = reason.encode("utf-8", "replace").decode()
    if not paths.failure.exists():
        paths.write_failure(reason)
    print(f"error: {reason}", file=sys.stderr, flush=True)
    return 1
