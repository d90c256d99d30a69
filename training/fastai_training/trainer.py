"""The built-in trainer: read the channels, train, write the model folder and what is worth keeping of the run."""

from __future__ import annotations

import io
import os
import sys
import traceback
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastai_container.errors import UserError
from fastai_container.model_folder import ModelManifest, remove_partial
from fastai_container.paths import MLPaths
from fastai_container.resources import cpu_count
from fastai_training import console
from fastai_training.config_files import read_hyperparameters
from fastai_training.console import log
from fastai_training.data.channels import Channels, Data, find_channels, read_data
from fastai_training.diagnosis.failure_reason import error_reason
from fastai_training.diagnosis.volumes import VolumeError, obstacle, of_job
from fastai_training.fitting.malloc import give_back, keep_freed_memory
from fastai_training.fitting.stop_signal import Stop
from fastai_training.hyperparameters import HyperParameters, parse
from fastai_training.metrics import final_line
from fastai_training.quoting import utf8
from fastai_training.reporting.run_files import write_history, write_predictions, write_skipped, write_summary
from fastai_training.world import Processes

if TYPE_CHECKING:
    from fastai_training.fitting.fit import Result


def _require_checkpoints(paths: MLPaths) -> None:
    """Raises VolumeError; the other folders were looked at before this process was started."""
    found = obstacle(paths.checkpoints)
    if found:
        raise VolumeError(f"checkpoints can't be written: {found}")


def _export(paths: MLPaths, result: Result, data: Data, parameters: HyperParameters) -> ModelManifest:
    """Write the model folder; returns its manifest."""
    from fastai_training.exporting.export import versions, write_classifier

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
    return details


def _summary(
    result: Result, data: Data, details: ModelManifest, parameters: HyperParameters, processes: Processes
) -> dict[str, Any]:
    """The content of summary.json."""
    return {
        "metrics": result.metrics,
        "classes": len(data.vocab),
        "training_pictures": len(data.train),
        "validation_pictures": len(data.valid),
        "left_out": len(data.skipped),
        "labels_from": data.source,
        "pretrained_weights": result.weights,
        "processes": processes.world,
        "precision": result.precision,
        "exported_epoch": result.epoch,
        "program": details.program,
        "training_seconds": round(result.seconds, 1),
        "hyperparameters": asdict(parameters),
        "versions": details.versions,
    }


def _write_results(folder: Path, channels: Channels, result: Result, data: Data, summary: dict[str, Any]) -> None:
    """Write what is worth keeping of the run beside the model: tables, summary and report."""
    root = channels.validation or channels.training
    write_history(folder, result.history, log)
    write_predictions(folder, root, data.valid, result.probabilities, data.vocab, log)
    write_summary(folder, summary, log)
    _report(folder, data, result, root, summary)


def train(paths: MLPaths, processes: Processes, stop: Stop) -> None:
    """Run one training job on the folders of ``paths``.

    Raises UserError for what the user can fix, SystemExit when told to stop.
    """
    say = log if processes.is_main else console.silent
    parameters = parse(read_hyperparameters(paths.config))
    channels = find_channels(paths)
    if processes.is_main:
        _require_checkpoints(paths)
    say("hyperparameters: " + " ".join(f"{name}={value}" for name, value in asdict(parameters).items()))
    data = read_data(channels, parameters, say, max(1, cpu_count() // processes.on_host))
    if processes.is_main:
        write_skipped(paths.output_data, data.skipped, log)
    # Only now: what is wrong with the input is told at once, not after the seconds that importing torch takes.
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
    details = _export(paths, result, data, parameters)
    summary = _summary(result, data, details, parameters, processes)
    _write_results(paths.output_data, channels, result, data, summary)
    served = details.program["scores"][details.program["precision"]]
    final = {"serving_error_rate": served["error_rate"], "serving_milliseconds": served["milliseconds"]}
    log(final_line(result.metrics | {"training_seconds": result.seconds} | final))


def _report(folder: Path, data: Data, result: Result, root: Path, summary: dict[str, Any]) -> None:
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
    reason = utf8(reason)
    if not paths.failure.exists():
        paths.write_failure(reason)
    console.error(reason)
    return 1
