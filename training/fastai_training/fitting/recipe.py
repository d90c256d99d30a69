"""What the trainer trains with: its learner and callbacks, the learning rate, validation."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from fastai.callback.fp16 import AMPMode, MixedPrecision
from fastai.vision.all import ChannelsLast, CrossEntropyLossFlat, error_rate, valley

from fastai_training.data.labels import Example
from fastai_training.fitting.callbacks import FrozenStatistics, StopAtNan, quiet
from fastai_training.fitting.class_metrics import class_metrics
from fastai_training.fitting.models import Classifier
from fastai_training.fitting.resumable_loop import ResumableLearner
from fastai_training.fitting.training_loss import LossMode, TrainingLoss
from fastai_training.hyperparameters import HyperParameters
from fastai_training.world import Processes


def build_learner(
    loaders: Any, classifier: Classifier, parameters: HyperParameters, device: torch.device, loss: Any = None
) -> Any:
    """Build the learner that ``fit`` trains, still without callbacks but for those of ``loss`` (cross entropy)."""
    learner = quiet(
        ResumableLearner(
            loaders,
            classifier.model.to(device),
            loss_func=loss or CrossEntropyLossFlat(),
            splitter=classifier.splitter,
            metrics=[error_rate, *class_metrics(len(loaders.vocab))],
            wd=parameters.weight_decay,
            moms=(parameters.momentum, parameters.momentum - 0.1, parameters.momentum),
            # A frozen body's batch norm stays as it was: its backward pass is then not needed at all.
            train_bn=not parameters.pretrained,
            path=Path(tempfile.gettempdir()),
        )
    )
    if isinstance(loss, TrainingLoss):
        learner.add_cb(LossMode(loss.to(device)))
    return learner


def training_callbacks(precision: str, device: torch.device, pretrained: bool) -> list[Any]:
    """Make the callbacks of every phase.

    ``precision`` is that of the whole network's training; on a CPU ``run_phases`` switches it from phase to phase.
    """
    callbacks: list[Any] = [ChannelsLast, StopAtNan]
    if pretrained:
        callbacks.append(FrozenStatistics)
    if device.type == "cuda" and precision != "fp32":
        callbacks.append(MixedPrecision(amp_mode=AMPMode.BF16 if precision == "bf16" else AMPMode.FP16))
    return callbacks


def find_rate(learner: Any) -> float:
    """Run fastai's learning-rate finder."""
    with learner.no_bar(), learner.no_logging():
        found = learner.lr_find(suggest_funcs=(valley,), show_plot=False).valley
    return float(found)


def validate(learner: Any, processes: Processes, loader: Any = None) -> torch.Tensor:
    """Return probabilities (n, classes) for the validation pictures in their order, in every process.

    ``loader`` gives the pictures where it isn't the learner's own.
    """
    return predict(learner.model, learner.dls.valid if loader is None else loader, processes)


def predict(network: torch.nn.Module, loader: Any, processes: Processes) -> torch.Tensor:
    """Return ``network``'s probabilities (n, classes) for the pictures of ``loader``, a validation one, in their order.

    In fp32, as the model is exported, whatever the precision of training was; in every process.
    """
    # As in training: another memory format is another order of sums.
    model = network.eval().to(memory_format=torch.channels_last)
    parts = []
    with torch.no_grad():
        for batch, _ in loader:
            parts.append(model(batch).softmax(1).cpu().as_subclass(torch.Tensor))
    return gathered(parts, processes)


def gathered(parts: list[torch.Tensor], processes: Processes) -> torch.Tensor:
    """Of every process's rows, batch by batch, those of all pictures in their order (n, …), in every process."""
    shards = processes.gather(torch.cat(parts) if parts else torch.empty(0))
    total = sum(len(shard) for shard in shards)
    result = torch.empty(total, max(shard.shape[-1] for shard in shards))
    for rank, shard in enumerate(shards):
        if len(shard):
            result[rank :: processes.world] = shard
    return result


def mistakes(probabilities: torch.Tensor, items: Sequence[Example], vocab: list[str]) -> float:
    """The share of ``items`` whose most probable class is another than their label; the error rate."""
    places = {name: place for place, name in enumerate(vocab)}
    targets = torch.tensor([places[item.label] for item in items])
    return float((probabilities.argmax(1) != targets).float().mean())
