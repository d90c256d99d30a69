"""The loss that is trained with where it isn't cross entropy alone: weighted by class, with smoothed labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from fastai.callback.core import Callback
from fastai.vision.all import CrossEntropyLossFlat
from torch import nn
from torch.nn import functional

from fastai_training.class_balance import class_weights
from fastai_training.data.labels import Example
from fastai_training.hyperparameters import HyperParameters


class TrainingLoss(nn.Module):
    """Cross entropy, in training with smoothed labels and each picture weighted by its class's ``weights``.

    Out of training (``eval``) it is plain: ``valid_loss`` can then be compared whatever was trained with. The mean is
    over pictures, not over weights, so that a batch and several processes' parts of it add up to the same.
    """

    y_int = True  # fastai's mixing callbacks ask for it: targets are numbers of classes

    def __init__(self, weights: Sequence[float] | None, smoothing: float) -> None:
        super().__init__()
        self.smoothing, self.reduction = smoothing, "mean"  # they also set reduction to "none" for a while
        self.register_buffer("weights", None if weights is None else torch.tensor(weights, dtype=torch.float32))

    def forward(self, predicted: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        predicted, targets = predicted.as_subclass(torch.Tensor), targets.as_subclass(torch.Tensor)
        smoothing = self.smoothing if self.training else 0.0
        losses = functional.cross_entropy(predicted, targets, label_smoothing=smoothing, reduction="none")
        if self.training and self.weights is not None:
            losses = losses * self.weights[targets]
        return losses.mean() if self.reduction == "mean" else losses


class LossMode(Callback):
    """Tell a ``TrainingLoss`` whether it is trained or validated with."""

    def __init__(self, loss: TrainingLoss) -> None:
        self.loss = loss

    def before_train(self) -> None:
        self.loss.train()

    def before_validate(self) -> None:
        self.loss.eval()


def choose_loss(parameters: HyperParameters, train: Sequence[Example], vocab: Sequence[str]) -> Any:
    """The loss for the training pictures ``train``; fastai's own where nothing else is asked for."""
    if parameters.class_weights == "none" and not parameters.label_smoothing:
        return CrossEntropyLossFlat()
    weights = None
    if parameters.class_weights != "none":
        by_class = class_weights(parameters.class_weights, Counter(item.label for item in train))
        weights = [by_class.get(label, 1.0) for label in vocab]  # of a class without pictures none is ever used
    return TrainingLoss(weights, parameters.label_smoothing)
