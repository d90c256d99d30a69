"""Metrics that count each class alike, however few pictures it has: balanced accuracy and the mean F1."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from fastai.learner import Metric


def tally(predicted: torch.Tensor, targets: torch.Tensor, classes: int) -> torch.Tensor:
    """Count pictures (int64, (3, classes)) by class: those of it, those taken for it, those of it taken for it.

    Tallies of parts add up to that of the whole; a confusion matrix would too, but of 10,000 classes it has 800 MB.
    """
    right = targets[predicted == targets]
    return torch.stack([torch.bincount(numbers, minlength=classes) for numbers in (targets, predicted, right)])


def balanced_accuracy(tallies: torch.Tensor) -> float:
    """The mean of the classes' recall, over classes that have pictures; NaN when none has."""
    pictures, _, right = tallies.double()
    there = pictures > 0
    return float((right[there] / pictures[there]).mean())


def f1_macro(tallies: torch.Tensor) -> float:
    """The mean of the classes' F1, over classes that have pictures or are predicted; NaN when none is."""
    pictures, told, right = tallies.double()
    both = pictures + told
    there = both > 0
    return float((2 * right[there] / both[there]).mean())


#: The metrics of this module by the name they are reported under.
SCORES: dict[str, Callable[[torch.Tensor], float]] = {"balanced_accuracy": balanced_accuracy, "f1_macro": f1_macro}


class ClassMetric(Metric):
    """One of ``SCORES`` over an epoch's validation pictures; ``tallies`` of several processes are to be summed up."""

    def __init__(self, name: str, classes: int) -> None:
        self._name, self.score, self.classes = name, SCORES[name], classes
        self.reset()

    def reset(self) -> None:
        self.tallies = torch.zeros(3, self.classes, dtype=torch.int64)

    def accumulate(self, learn: Any) -> None:
        predicted, targets = (part.as_subclass(torch.Tensor).cpu() for part in (learn.pred.argmax(-1), learn.y))
        self.tallies += tally(predicted, targets, self.classes)

    @property
    def value(self) -> float:
        return self.score(self.tallies)

    @property
    def name(self) -> str:
        return self._name


def class_metrics(classes: int) -> list[ClassMetric]:
    return [ClassMetric(name, classes) for name in SCORES]
