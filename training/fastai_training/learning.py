"""Fit a pretrained classifier to the pictures with fastai."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from fastai.vision.all import (
    ChannelsLast,
    CrossEntropyLossFlat,
    Learner,
    error_rate,
    set_seed,
    valley,
)
from fastai.callback.fp16 import AMPMode, MixedPrecision

from fastai_container.resources import cpu_count
from fastai_training.callbacks import CpuBFloat16, FrozenStatistics, Progress, StopAtNan, quiet
from fastai_training.hyperparameters import HyperParameterError, HyperParameters
from fastai_training.labels import Example
from fastai_training.loaders import build_loaders, worker_count
from fastai_training.models import build_classifier


@dataclass(frozen=True)
class Result:
    """``probabilities``: float32 (n, classes) for the validation pictures, in their order."""

    model: torch.nn.Module
    arch: str
    stats: tuple[tuple[float, ...], tuple[float, ...]]
    weights: str | None
    metrics: dict[str, float]
    history: list[dict[str, float]]
    probabilities: torch.Tensor


def _cpu_has_bf16() -> bool:
    """Whether the CPU multiplies bf16 in hardware; in software it is slower than fp32."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags or (platform.machine() == "aarch64" and " bf16" in flags)


def choose_precision(asked: str, device: torch.device) -> str:
    """fp32, bf16 or fp16 on ``device``. Raises HyperParameterError for one that it doesn't have."""
    if device.type == "cuda":
        if asked == "bf16" and not torch.cuda.is_bf16_supported():
            raise HyperParameterError(f"precision=bf16 is not supported by {torch.cuda.get_device_name()}; use fp16 or auto")
        return "fp16" if asked == "auto" else asked
    if asked == "fp16":
        raise HyperParameterError("precision=fp16 needs a GPU and there is none; use auto, bf16 or fp32")
    if asked == "auto":
        return "bf16" if _cpu_has_bf16() else "fp32"
    return asked


def _callbacks(precision: str, device: torch.device, pretrained: bool, progress: Progress) -> list[Any]:
    callbacks: list[Any] = [ChannelsLast, StopAtNan, progress]
    if pretrained:
        callbacks.append(FrozenStatistics)
    if device.type == "cuda" and precision != "fp32":
        callbacks.append(MixedPrecision(amp_mode=AMPMode.BF16 if precision == "bf16" else AMPMode.FP16))
    elif precision == "bf16":
        callbacks.append(CpuBFloat16)
    return callbacks


def _find_rate(learner: Learner) -> float:
    with learner.no_bar(), learner.no_logging():
        found = learner.lr_find(suggest_funcs=(valley,), show_plot=False).valley
    print(f"learning rate found: {found:.2e}", flush=True)
    return float(found)


def fit(
    train: list[Example], valid: list[Example], vocab: list[str], parameters: HyperParameters, weights_channel: Path | None
) -> Result:
    """Train on ``train``, validate on ``valid``; lesson 1's recipe: the head alone first, then everything.

    Raises UserError for an architecture, weights or a precision that can't be had.
    """
    set_seed(parameters.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cpu":
        torch.set_num_threads(cpu_count())
    precision = choose_precision(parameters.precision, device)
    classifier = build_classifier(
        parameters.arch, len(vocab), pretrained=parameters.pretrained, weights_channel=weights_channel
    )
    workers, why = worker_count(parameters)
    if why:
        print(why, flush=True)
    print(
        f"{classifier.arch} on {device.type}, {precision}, {cpu_count()} cores, {workers} loader workers, "
        f"weights: {classifier.weights or 'none (from scratch)'}",
        flush=True,
    )
    loaders = build_loaders(train, valid, vocab, parameters, classifier.stats, device, workers)
    freeze_epochs = parameters.freeze_epochs if parameters.pretrained else 0
    progress = Progress(freeze_epochs + parameters.epochs)
    learner = quiet(
        Learner(
            loaders,
            classifier.model.to(device),
            loss_func=CrossEntropyLossFlat(),
            splitter=classifier.splitter,
            metrics=error_rate,
            wd=parameters.weight_decay,
            moms=(parameters.momentum, parameters.momentum - 0.1, parameters.momentum),
            # A frozen body's batch norm stays as it was: its backward pass is then not needed at all.
            train_bn=not parameters.pretrained,
        )
    )
    if parameters.pretrained:
        learner.freeze()
    rate = _find_rate(learner) if parameters.lr == "auto" else float(parameters.lr)
    learner.add_cbs(_callbacks(precision, device, parameters.pretrained, progress))
    if freeze_epochs:
        learner.fit_one_cycle(freeze_epochs, slice(rate), pct_start=0.99)
    learner.unfreeze()
    if parameters.pretrained:
        # As fastai's fine_tune: a hundredth of the rate for the first layers.
        learner.fit_one_cycle(parameters.epochs, slice(rate / 200, rate / 2), pct_start=0.3, div=5.0)
    else:
        learner.fit_one_cycle(parameters.epochs, rate)
    with learner.no_bar():
        probabilities, targets = learner.get_preds(dl=loaders.valid)
    metrics = {
        "error_rate": float((probabilities.argmax(1) != targets).float().mean()),
        "valid_loss": progress.history[-1]["valid_loss"],
        "train_loss": progress.history[-1]["train_loss"],
    }
    return Result(
        learner.model, classifier.arch, classifier.stats, classifier.weights, metrics, progress.history,
        probabilities.float(),
    )
