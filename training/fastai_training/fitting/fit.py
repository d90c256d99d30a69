"""Fit a pretrained classifier to the pictures with fastai."""

from __future__ import annotations

import platform
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from fastai.callback.fp16 import AMPMode, MixedPrecision
from fastai.vision.all import (
    ChannelsLast,
    CrossEntropyLossFlat,
    error_rate,
    set_seed,
    valley,
)

from fastai_container.errors import UserError
from fastai_container.resources import cpu_count
from fastai_training.data.labels import DataError, Example
from fastai_training.data.loaders import build_loaders, worker_count
from fastai_training.diagnosis.disk_space import MODEL_TIMES_WEIGHTS, PROGRAMS_TIMES_WEIGHTS, check_room
from fastai_training.fitting.callbacks import CpuBFloat16, FrozenStatistics, Progress, StopAtNan, quiet
from fastai_training.fitting.checkpoints import (
    CheckpointError,
    check_identity,
    data_digest,
    read_newest,
    room_needed,
    run_identity,
)
from fastai_training.fitting.ddp import DataParallel, weights_digest
from fastai_training.fitting.feature_replay import HeadReplay
from fastai_training.fitting.models import Classifier, build_classifier
from fastai_training.fitting.resumable_loop import Checkpointer, ResumableLearner, restore_optimizer
from fastai_training.fitting.stop_signal import Stop
from fastai_training.hyperparameters import HyperParameterError, HyperParameters
from fastai_training.world import Processes


@dataclass(frozen=True)
class Result:
    """``probabilities``: float32 (n, classes) for the validation pictures, in their order.

    ``seconds`` were spent in training, those before a stop included; ``precision`` is what was chosen, phase by
    phase.
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


def _cpu_bf16() -> str:
    """How the CPU multiplies bf16: "matrix" (AMX), "vector" (AVX-512, Arm) or "" for in software, slower than fp32."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
    if "amx_bf16" in flags:
        return "matrix"
    return "vector" if "avx512_bf16" in flags or (platform.machine() == "aarch64" and " bf16" in flags) else ""


def choose_precision(asked: str, device: torch.device, *, frozen: bool = False) -> str:
    """fp32, bf16 or fp16 on ``device``; ``frozen`` says that only the head is trained.

    Raises HyperParameterError for one that it doesn't have.
    """
    if device.type == "cuda":
        if asked == "bf16" and not torch.cuda.is_bf16_supported():
            raise HyperParameterError(
                f"precision=bf16 is not supported by {torch.cuda.get_device_name()}; use fp16 or auto"
            )
        return "fp16" if asked == "auto" else asked
    if asked == "fp16":
        raise HyperParameterError("precision=fp16 needs a GPU and there is none; use auto, bf16 or fp32")
    if asked == "auto":
        # Vector bf16 runs a frozen body 2 to 3 times as fast as fp32, but its backward pass is no faster, and slower in
        # depthwise convolutions.
        return "bf16" if _cpu_bf16() == "matrix" or (frozen and _cpu_bf16() == "vector") else "fp32"
    return asked


def training_callbacks(precision: str, device: torch.device, pretrained: bool) -> list[Any]:
    """``precision`` is that of the whole network's training; on a CPU ``_run`` switches it from phase to phase."""
    callbacks: list[Any] = [ChannelsLast, StopAtNan]
    if pretrained:
        callbacks.append(FrozenStatistics)
    if device.type == "cuda" and precision != "fp32":
        callbacks.append(MixedPrecision(amp_mode=AMPMode.BF16 if precision == "bf16" else AMPMode.FP16))
    return callbacks


def _find_rate(learner: Any) -> float:
    with learner.no_bar(), learner.no_logging():
        found = learner.lr_find(suggest_funcs=(valley,), show_plot=False).valley
    return float(found)


@dataclass(frozen=True)
class Phase:
    """``epochs`` epochs by one 1-cycle schedule, of the head alone when ``frozen``."""

    epochs: int
    frozen: bool
    rates: Any
    precision: str
    options: dict[str, float]


def _phases(parameters: HyperParameters, rate: float, device: torch.device) -> list[Phase]:
    """Lesson 1's recipe, fastai's fine_tune: the head alone first, then everything."""
    precision = choose_precision(parameters.precision, device)
    if not parameters.pretrained:
        return [Phase(parameters.epochs, False, rate, precision, {})]
    # A hundredth of the rate for the first layers.
    whole = Phase(parameters.epochs, False, slice(rate / 200, rate / 2), precision, {"pct_start": 0.3, "div": 5.0})
    alone = choose_precision(parameters.precision, device, frozen=True)
    head = Phase(parameters.freeze_epochs, True, slice(rate), alone, {"pct_start": 0.99})
    return [phase for phase in (head, whole) if phase.epochs]


def _validate(learner: Any, processes: Processes) -> torch.Tensor:
    """Probabilities (n, classes) for the validation pictures in their order, in every process.

    In fp32, as the model is exported: training's arithmetic is over.
    """
    # As in training: another memory format is another order of sums.
    model = learner.model.eval().to(memory_format=torch.channels_last)
    parts = []
    with torch.no_grad():
        for batch, _ in learner.dls.valid:
            parts.append(model(batch).softmax(1).cpu().as_subclass(torch.Tensor))
    shards = processes.gather(torch.cat(parts) if parts else torch.empty(0))
    total = sum(len(shard) for shard in shards)
    result = torch.empty(total, max(shard.shape[-1] for shard in shards))
    for rank, shard in enumerate(shards):
        if len(shard):
            result[rank :: processes.world] = shard
    return result


def build_learner(loaders: Any, classifier: Classifier, parameters: HyperParameters, device: torch.device) -> Any:
    """The learner that ``fit`` trains, still without callbacks."""
    return quiet(
        ResumableLearner(
            loaders,
            classifier.model.to(device),
            loss_func=CrossEntropyLossFlat(),
            splitter=classifier.splitter,
            metrics=error_rate,
            wd=parameters.weight_decay,
            moms=(parameters.momentum, parameters.momentum - 0.1, parameters.momentum),
            # A frozen body's batch norm stays as it was: its backward pass is then not needed at all.
            train_bn=not parameters.pretrained,
            path=Path(tempfile.gettempdir()),
        )
    )


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
) -> Result:
    """Train on ``train``, validate on ``valid``; goes on from the newest checkpoint in ``checkpoints``.

    Raises UserError for an architecture, weights or a precision that can't be had, or a checkpoint of another run;
    SystemExit when ``stop`` is requested.
    """
    set_seed(parameters.seed)
    device = processes.device()
    if device.type == "cpu":
        torch.set_num_threads(max(1, cpu_count() // processes.on_host))
    precision = choose_precision(parameters.precision, device)
    precisions = list(dict.fromkeys(phase.precision for phase in _phases(parameters, 0, device)))
    classifier = build_classifier(
        parameters.arch,
        len(vocab),
        pretrained=parameters.pretrained,
        weights_channel=weights_channel,
        image_size=parameters.image_size,
    )
    if processes.is_main:
        _check_room(classifier.model, parameters, model_folder, checkpoints)
    workers, why = worker_count(parameters, processes.on_host)
    say = print if processes.is_main else _silent
    if why:
        say(why, flush=True)
    say(
        f"{classifier.arch} on {device.type}, {', '.join(precisions)}, {cpu_count()} cores, {workers} loader workers, "
        f"{processes.world} processes, weights: {classifier.weights or 'none (from scratch)'}",
        flush=True,
    )
    loaders = build_loaders(train, valid, vocab, parameters, classifier.stats, device, workers, processes)
    learner = build_learner(loaders, classifier, parameters, device)
    processes.start(device)
    digest = data_digest(data_root, train, valid)
    if len(set(processes.gather(digest))) > 1:
        raise DataError(
            "the hosts hold different pictures; give every host all of them (S3DataDistributionType=FullyReplicated): "
            "each takes its share of an epoch by itself"
        )
    identity = run_identity(parameters, digest, classifier.weights, processes.world)
    resumed = _read(checkpoints, identity, processes)
    if parameters.pretrained:
        learner.freeze()
    if resumed:
        rate = resumed["rate"]
    elif parameters.lr == "auto":
        rate = processes.from_main(_find_rate(learner))
        say(f"learning rate found: {rate:.2e}", flush=True)
    else:
        rate = float(parameters.lr)
    phases = _phases(parameters, rate, device)
    progress = Progress(sum(phase.epochs for phase in phases), shown=processes.is_main, processes=processes.world)
    replay = HeadReplay()
    checkpointer = Checkpointer(
        checkpoints,
        identity,
        processes,
        stop,
        parameters.seed,
        parameters.checkpoint_seconds,
        lambda: {"rate": rate, "progress": progress.state(), "replay": replay.state()},
    )
    learner.add_cbs([*training_callbacks(precision, device, parameters.pretrained), progress, checkpointer])
    if processes.several:
        learner.add_cb(DataParallel(device, processes.training_group()))
    if resumed:
        classifier.model.load_state_dict(resumed["model"])
        progress.resume(resumed["progress"], inside_epoch=resumed["position"]["batch"] > 0)
    try:
        with stop.deferred():
            _run(learner, phases, checkpointer, resumed, device, None if processes.several else replay)
    except UserError as error:
        # fastai writes the callback's name above it.
        raise type(error)(str(error).splitlines()[-1].strip()) from None
    if processes.several:
        digests = set(processes.gather(weights_digest(learner.model)))
        if len(digests) > 1:
            raise RuntimeError(f"the {processes.world} processes ended with {len(digests)} different models")
        say(f"{processes.world} processes agree on the weights", flush=True)
    probabilities = _validate(learner, processes)
    processes.end()
    targets = torch.tensor([vocab.index(item.label) for item in valid])
    metrics = {
        "error_rate": float((probabilities.argmax(1) != targets).float().mean()),
        "valid_loss": progress.history[-1]["valid_loss"],
        "train_loss": progress.history[-1]["train_loss"],
    }
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
    )


def _check_room(model: torch.nn.Module, parameters: HyperParameters, model_folder: Path, checkpoints: Path) -> None:
    """Raises VolumeError when it is clear before training that there is no room for what it makes."""
    weights = sum(value.numel() * value.element_size() for value in model.state_dict().values())
    scratch = Path(tempfile.gettempdir())
    check_room(
        {
            model_folder: MODEL_TIMES_WEIGHTS * weights,
            scratch: PROGRAMS_TIMES_WEIGHTS * weights,
            checkpoints: room_needed(
                checkpoints, weights, parameters.epochs, parameters.freeze_epochs if parameters.pretrained else 0
            ),
        }
    )


def _silent(*_arguments: Any, **_options: Any) -> None:
    pass


def _read(checkpoints: Path, identity: dict[str, Any], processes: Processes) -> dict[str, Any] | None:
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
        print(f"going on from {found[0].name}", flush=True)
    return state


def _run(
    learner: Any,
    phases: list[Phase],
    checkpointer: Checkpointer,
    resumed: dict[str, Any] | None,
    device: torch.device,
    replay: HeadReplay | None,
) -> None:
    """All phases, or those that ``resumed`` has not done.

    ``replay`` is for a single process (others would have to share each of its steps), and used on a CPU: a GPU runs
    the body's forward pass in the time that a few small steps take to be launched.
    """
    epochs_before = 0
    first = resumed["position"]["phase"] if resumed else 0
    for number, phase in enumerate(phases):
        if number >= first:
            if phase.frozen:
                learner.freeze()
            else:
                learner.unfreeze()
            here = resumed if number == first else None
            if here is not None:
                restore_optimizer(learner.opt, here["optimizer"], device)
            learner.remove_cbs(CpuBFloat16)
            if device.type == "cpu" and phase.precision == "bf16":
                learner.add_cb(CpuBFloat16())
            learner.remove_cbs(HeadReplay)
            if replay is not None:
                replay.clear()
                if phase.frozen and device.type == "cpu":
                    learner.add_cb(replay)
                    if here is not None:
                        replay.restore(here["replay"])
            checkpointer.begin(number, epochs_before, here)
            if learner.first_epoch < phase.epochs:
                learner.fit_one_cycle(phase.epochs, phase.rates, **phase.options)
        epochs_before += phase.epochs
