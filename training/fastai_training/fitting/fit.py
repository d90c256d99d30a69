"""Fit a pretrained classifier to the pictures with fastai."""

from __future__ import annotations

import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from fastai.vision.all import set_seed

from fastai_container.errors import UserError
from fastai_container.resources import cpu_count
from fastai_training import console
from fastai_training.class_balance import sampling_told, weights_told
from fastai_training.data.labels import DataError, Example
from fastai_training.data.late_check import LateCheck
from fastai_training.data.loaders import build_loaders, worker_count
from fastai_training.diagnosis.disk_space import COMPILED_TIMES_WEIGHTS, MODEL_TIMES_WEIGHTS, check_room
from fastai_training.fitting.best_epoch import BestEpoch, EarlyStopping, stopping_told
from fastai_training.fitting.callbacks import MergeMarks, Progress
from fastai_training.fitting.checkpoints import (
    CheckpointError,
    check_identity,
    data_digest,
    read_newest,
    room_needed,
    run_identity,
)
from fastai_training.fitting.class_metrics import SCORES, tally
from fastai_training.fitting.ddp import DataParallel, weights_digest
from fastai_training.fitting.feature_replay import HeadReplay
from fastai_training.fitting.folds import fold_errors, fold_line
from fastai_training.fitting.mixing import mixing_callback, mixing_told
from fastai_training.fitting.models import Classifier, build_classifier, check_sizes
from fastai_training.fitting.parent_model import CHANNEL, ParentError
from fastai_training.fitting.parent_network import ParentNetwork, descend
from fastai_training.fitting.phases import Phase, plan_phases, run_phases
from fastai_training.fitting.precision import choose_precision
from fastai_training.fitting.recipe import build_learner, find_rate, training_callbacks, validate
from fastai_training.fitting.resumable_loop import Checkpointer
from fastai_training.fitting.stop_signal import Stop
from fastai_training.fitting.training_loss import choose_loss
from fastai_training.fitting.tta import tta_metrics
from fastai_training.hyperparameters import HyperParameters
from fastai_training.picture_sizes import epoch_sizes, sizes_told
from fastai_training.world import Processes


@dataclass(frozen=True)
class Result:
    """``probabilities``: float32 (n, classes) for the validation pictures, in their order.

    ``seconds`` were spent in training, those before a stop included; ``precision`` is what was chosen, phase by
    phase; ``epoch``: the one whose weights these are, counted from 1; ``folds`` are the error rates of the
    hyperparameter of that name; ``lineage`` is the manifest's.
    """

    model: torch.nn.Module
    arch: str
    stats: tuple[tuple[float, ...], tuple[float, ...]]
    weights: str | None
    metrics: dict[str, float]
    history: list[dict[str, float]]
    probabilities: torch.Tensor
    seconds: float
    precision: str
    epoch: int
    folds: list[float]
    lineage: dict[str, Any] = field(default_factory=dict)


def fit(
    train: list[Example],
    valid: list[Example],
    vocab: list[str],
    parameters: HyperParameters,
    weights_channel: Path | None,
    *,
    checkpoints: Path,
    model_folder: Path,
    data_root: Path,
    processes: Processes,
    stop: Stop,
    parent: ParentNetwork | None = None,
    late: LateCheck | None = None,
) -> Result:
    """Train on ``train``, validate on ``valid``; goes on from the newest checkpoint in ``checkpoints``.

    ``parent``: the network that is trained on, instead of one with ImageNet weights. ``late``: of ``train``, where its
    pictures were not checked. Raises UserError for an architecture, weights or a precision that can't be had, a parent
    whose weights don't fit, or a checkpoint of another run; SystemExit when ``stop`` is requested.
    """
    say = console.log if processes.is_main else console.silent
    device = _set_up_device(parameters, processes)
    precisions = list(dict.fromkeys(phase.precision for phase in plan_phases(parameters, 0, device)))
    descent = descend(parent, vocab, parameters, say) if parent else None
    classifier = descent.classifier if descent else _new_classifier(vocab, parameters, weights_channel)
    _check_network(classifier, parameters, model_folder, checkpoints, processes)
    workers = _count_workers(parameters, processes, say)
    _tell_network(classifier, device, precisions, workers, processes, say)
    loaders = build_loaders(train, valid, vocab, parameters, classifier.stats, device, workers, processes, late)
    learner = build_learner(loaders, classifier, parameters, device, choose_loss(parameters, train, vocab))
    _tell_options(parameters, train, say)
    processes.start(device)
    digest = _agree_on_data(data_root, train, valid, processes)
    _agree_on_parent(parent, processes)
    identity = run_identity(parameters, digest, classifier.weights, processes.world)
    resumed = _read_checkpoint(checkpoints, identity, processes)
    before = descent.score_parent(train, valid, parameters, device, workers, processes, say) if descent else None
    run = _Run(learner, classifier, parameters, device, processes, stop, resumed, late)
    folds = run.measure_folds([*train, *valid], vocab, workers, say)
    progress, row = run.train(checkpoints, identity, say)
    run.agree_on_weights(say)
    probabilities, metrics = _evaluate(learner, processes, valid, row, parameters.tta, say)
    processes.end()
    return Result(
        learner.model,
        classifier.arch,
        classifier.stats,
        classifier.weights,
        metrics,
        progress.history,
        probabilities,
        progress.seconds(),
        ", ".join(precisions),
        int(row["epoch"]),
        folds,
        descent.lineage(before, probabilities, valid, say) if descent else {},
    )


def _new_classifier(vocab: list[str], parameters: HyperParameters, weights_channel: Path | None) -> Classifier:
    return build_classifier(
        parameters.arch,
        len(vocab),
        pretrained=parameters.pretrained,
        weights_channel=weights_channel,
        image_size=parameters.image_size,
    )


def _set_up_device(parameters: HyperParameters, processes: Processes) -> torch.device:
    """Seed the generators, and let a CPU's processes share its cores."""
    set_seed(parameters.seed)
    device = processes.device()
    if device.type == "cpu":
        torch.set_num_threads(max(1, cpu_count() // processes.on_host))
    return device


def _check_network(
    classifier: Classifier, parameters: HyperParameters, model_folder: Path, checkpoints: Path, processes: Processes
) -> None:
    """Raises ArchError or VolumeError for what would fail later."""
    if parameters.progressive_resizing < 1:
        check_sizes(classifier, epoch_sizes(parameters))
    if processes.is_main:
        _check_room(classifier.model, parameters, model_folder, checkpoints)


def _check_room(model: torch.nn.Module, parameters: HyperParameters, model_folder: Path, checkpoints: Path) -> None:
    """Raises VolumeError when it is clear before training that there is no room for what it makes."""
    weights = sum(value.numel() * value.element_size() for value in model.state_dict().values())
    scratch = Path(tempfile.gettempdir())
    check_room(
        {
            model_folder: MODEL_TIMES_WEIGHTS * weights,
            scratch: COMPILED_TIMES_WEIGHTS * weights,
            checkpoints: room_needed(
                checkpoints,
                weights,
                parameters.epochs,
                parameters.freeze_epochs if parameters.pretrained else 0,
                best=parameters.keep == "best",
            ),
        }
    )


def _count_workers(parameters: HyperParameters, processes: Processes, say: console.Log) -> int:
    workers, why = worker_count(parameters, processes.on_host)
    if why:
        say(why)
    return workers


def _tell_network(
    classifier: Classifier,
    device: torch.device,
    precisions: list[str],
    workers: int,
    processes: Processes,
    say: console.Log,
) -> None:
    say(
        f"{classifier.arch} on {device.type}, {', '.join(precisions)}, {cpu_count()} cores, {workers} loader workers, "
        f"{processes.world} processes, weights: {classifier.weights or 'none (from scratch)'}"
    )


def _tell_options(parameters: HyperParameters, train: list[Example], say: console.Log) -> None:
    """Say what options come to on these data, where that isn't plain from their values."""
    labels = [item.label for item in train]
    if parameters.class_weights != "none":
        say(weights_told(parameters.class_weights, Counter(labels)))
    if parameters.sampling == "balanced":
        say(sampling_told(labels))
    for line in filter(None, (sizes_told(parameters), mixing_told(parameters), stopping_told(parameters))):
        say(line)


def _agree_on_data(root: Path, train: list[Example], valid: list[Example], processes: Processes) -> str:
    """The digest of the pictures and labels. Raises DataError when the processes have different ones."""
    digest = data_digest(root, train, valid)
    if len(set(processes.gather(digest))) > 1:
        raise DataError(
            "the hosts hold different pictures; give every host all of them (S3DataDistributionType=FullyReplicated): "
            "sharding is done by the trainer"
        )
    return digest


def _agree_on_parent(parent: ParentNetwork | None, processes: Processes) -> None:
    """Raises ParentError when the processes go on from different models, or some from none."""
    if len(set(processes.gather(parent and parent.digest))) > 1:
        raise ParentError(
            f"the hosts hold different models in {CHANNEL}; give every host the same one "
            "(S3DataDistributionType=FullyReplicated)"
        )


def _read_checkpoint(checkpoints: Path, identity: dict[str, Any], processes: Processes) -> dict[str, Any] | None:
    """The checkpoint to go on from, read by the main process for all. Raises CheckpointError."""
    found: tuple[Path, dict[str, Any]] | None = None
    error: CheckpointError | None = None
    if processes.is_main:
        found = read_newest(checkpoints)
        try:
            if found is not None:
                check_identity(found[0], found[1]["identity"], identity)
        except CheckpointError as caught:
            error = caught
    error = processes.from_main(error)
    if error is not None:
        raise error
    state: dict[str, Any] | None = processes.from_main(found[1] if found else None)
    if found is not None:
        console.log(f"going on from {found[0].name}")
    return state


@dataclass(frozen=True)
class _Run:
    """A learner that is ready to be trained; ``resumed``: the checkpoint that it goes on from, if any."""

    learner: Any
    classifier: Classifier
    parameters: HyperParameters
    device: torch.device
    processes: Processes
    stop: Stop
    resumed: dict[str, Any] | None
    late: LateCheck | None

    def train(self, checkpoints: Path, identity: dict[str, Any], say: console.Log) -> tuple[Progress, dict[str, float]]:
        """Train all phases that are not done yet; returns what became of them and the row of the exported epoch."""
        if self.parameters.pretrained:
            self.learner.freeze()
        rate = self._rate(say)
        phases = plan_phases(self.parameters, rate, self.device)
        progress = Progress(
            sum(phase.epochs for phase in phases), shown=self.processes.is_main, processes=self.processes.world
        )
        replay = HeadReplay()
        best = BestEpoch(progress, self.processes) if self.parameters.keep == "best" else None
        stopping = EarlyStopping(self.parameters.early_stopping, progress, self.processes, say)
        mixing = mixing_callback(self.parameters, self.processes)
        checkpointer = Checkpointer(
            checkpoints,
            identity,
            self.processes,
            self.stop,
            self.parameters.seed,
            self.parameters.checkpoint_seconds,
            lambda: (
                {
                    "rate": rate,
                    "progress": progress.state(),
                    "replay": replay.state(),
                }
                | ({"best": best.state()} if best else {})
                | ({"stopping": stopping.state()} if stopping.patience else {})
                | ({"late": torch.from_numpy(self.late.state())} if self.late else {})
            ),
        )
        merging = [MergeMarks(self.late, self.processes)] if self.late else []
        self._add_callbacks([progress, checkpointer, *merging, *([best] if best else [])])
        if self.resumed:
            self.classifier.model.load_state_dict(self.resumed["model"])
            progress.resume(self.resumed["progress"], inside_epoch=self.resumed["position"]["batch"] > 0)
            if stopping.patience:
                stopping.restore(self.resumed["stopping"])
            if self.late and "late" in self.resumed:  # not where an older version wrote it
                self.late.merge([self.resumed["late"].numpy()])
            if best:
                best.restore(self.resumed["best"])
        whole = ([mixing] if mixing else []) + ([stopping] if stopping.patience else [])
        self._run_phases(phases, checkpointer, replay, whole)
        if best:
            best.export(self.learner.model, say)
        return progress, best.row if best else progress.history[-1]

    def measure_folds(self, items: list[Example], vocab: list[str], workers: int, say: console.Log) -> list[float]:
        """The error rate of each fold, if they are asked for; before training, since it is of the body as it came."""
        if not self.parameters.folds:
            return []
        errors = fold_errors(self.classifier, items, vocab, self.parameters, self.device, workers, self.processes)
        say(fold_line(errors))
        return errors

    def _rate(self, say: console.Log) -> float:
        """The base learning rate: the checkpoint's, the one that is found, or the one that was asked for."""
        if self.resumed:
            return float(self.resumed["rate"])
        if self.parameters.lr != "auto":
            return float(self.parameters.lr)
        rate: float = self.processes.from_main(find_rate(self.learner))
        say(f"learning rate found: {rate:.2e}")
        return rate

    def _add_callbacks(self, own: list[Any]) -> None:
        precision = choose_precision(self.parameters.precision, self.device)
        callbacks = training_callbacks(precision, self.device, self.parameters.pretrained)
        self.learner.add_cbs([*callbacks, *own])
        if self.processes.several:
            self.learner.add_cb(DataParallel(self.device, self.processes.training_group()))

    def _run_phases(
        self, phases: list[Phase], checkpointer: Checkpointer, replay: HeadReplay, whole: list[Any]
    ) -> None:
        try:
            with self.stop.deferred():
                usable = None if self.processes.several else replay
                run_phases(self.learner, phases, checkpointer, self.resumed, self.device, usable, whole)
        except UserError as error:
            # fastai writes the callback's name above it.
            raise type(error)(str(error).splitlines()[-1].strip()) from None

    def agree_on_weights(self, say: console.Log) -> None:
        """Raises RuntimeError when the processes ended with different models, which is a bug."""
        if not self.processes.several:
            return
        digests = set(self.processes.gather(weights_digest(self.learner.model)))
        if len(digests) > 1:
            raise RuntimeError(f"the {self.processes.world} processes ended with {len(digests)} different models")
        say(f"{self.processes.world} processes agree on the weights")


def _evaluate(
    learner: Any, processes: Processes, valid: list[Example], row: dict[str, float], views: int, say: console.Log
) -> tuple[torch.Tensor, dict[str, float]]:
    """Probabilities (n, classes) for the validation pictures, and the metrics; ``row``: the exported epoch's."""
    vocab = list(learner.dls.vocab)
    targets = torch.tensor([vocab.index(item.label) for item in valid])
    probabilities = validate(learner, processes)
    predicted = probabilities.argmax(1)
    tallies = tally(predicted, targets, probabilities.shape[1])
    metrics = {
        "error_rate": float((predicted != targets).float().mean()),
        **{name: score(tallies) for name, score in SCORES.items()},
        "valid_loss": row["valid_loss"],
        "train_loss": row["train_loss"],
    }
    return probabilities, metrics | tta_metrics(learner, processes, probabilities, targets, views, say)
