"""The built-in trainer: read the channels, train, write the model folder and what is worth keeping of the run."""

from __future__ import annotations

import io
import os
import sys
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from fastai_container.errors import UserError
from fastai_container.model_folder import ModelManifest, remove_partial
from fastai_container.paths import MLPaths
from fastai_container.resources import cpu_count
from fastai_training import console
from fastai_training.config_files import read_hyperparameters
from fastai_training.console import Log, log
from fastai_training.data.channels import Channels, find_channels
from fastai_training.data.reading import Data, read_data, settle_late
from fastai_training.data.split import assign_folds
from fastai_training.diagnosis.volumes import VolumeError, obstacle
from fastai_training.fitting.malloc import give_back, keep_freed_memory
from fastai_training.fitting.parent_model import opened_parent, settle
from fastai_training.fitting.stop_signal import Stop
from fastai_training.hyperparameters import HyperParameterError, HyperParameters, given, parse
from fastai_training.quoting import utf8
from fastai_training.reporting.run_files import write_skipped
from fastai_training.results import error_sentence, write_results
from fastai_training.world import Processes

if TYPE_CHECKING:
    from fastai_training.fitting.fit import Result
    from fastai_training.fitting.parent_network import ParentNetwork


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
        lineage=result.lineage,
    )
    details = write_classifier(paths.model, result.model, details, data.train, data.valid, parameters.serving_precision)
    log(f"model written to {paths.model}")
    return details


def _take_parent(
    channels: Channels, parameters: HyperParameters, asked: frozenset[str], say: Log
) -> tuple[HyperParameters, ParentNetwork | None]:
    """The model of the channel ``model``, and the hyperparameters (``asked``: those given) with what it settles.

    Raises UserError for a model that can't be gone on from: before any picture is looked at, and for most reasons
    before torch is imported.
    """
    if channels.model is None:
        if parameters.head == "keep":
            raise HyperParameterError("head=keep keeps the head of the model in the channel model, and there is none")
        if parameters.unpickle:
            raise HyperParameterError("unpickle=true is for a learner in the channel model, there is no such channel")
        return parameters, None
    if channels.weights is not None:
        say("the channel weights is not used: the weights are those of the model in the channel model")

    def unpickle(pickle: Path, folder: Path) -> None:
        from fastai_training.exporting.exported_learner import write_exported

        write_exported(pickle, folder, say)

    with opened_parent(channels.model, say, unpickle if parameters.unpickle else None) as found:
        parameters = settle(parameters, asked, found, say)
        from fastai_training.fitting.parent_network import load_parent

        return parameters, load_parent(found)


def train(paths: MLPaths, processes: Processes, stop: Stop) -> None:
    """Run one training job on the folders of ``paths``.

    Raises UserError for what the user can fix, SystemExit when told to stop.
    """
    say = log if processes.is_main else console.silent
    values = read_hyperparameters(paths.config)
    parameters = parse(values)
    channels = find_channels(paths)
    parameters, parent = _take_parent(channels, parameters, given(values), say)
    if processes.is_main:
        _require_checkpoints(paths)
    say("hyperparameters: " + " ".join(f"{name}={value}" for name, value in asdict(parameters).items()))
    data = read_data(channels, parameters, say, max(1, cpu_count() // processes.on_host))
    if processes.is_main:
        write_skipped(paths.output_data, data.skipped, log)
    if parameters.folds:
        assign_folds([*data.train, *data.valid], parameters.folds, parameters.seed)  # raises what would be raised later
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
        parent=parent,
        late=data.late,
    )
    give_back()
    if not processes.is_main:
        return
    settled = settle_late(data, channels.training, log)
    if settled is not data:
        write_skipped(paths.output_data, settled.skipped, log)
    data = settled
    details = _export(paths, result, data, parameters)
    write_results(paths, channels, result, data, details, parameters, processes)


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
        reason = error_sentence(error)
    else:
        return 0
    # Of several processes the first to fail knows why; the others only see it go.
    reason = utf8(reason)
    if not paths.failure.exists():
        paths.write_failure(reason)
    console.error(reason)
    return 1
