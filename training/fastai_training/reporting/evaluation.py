"""What validation or test pictures say of a model: per class, pair by pair, and its worst mistakes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastai_training.data.labels import Example


@dataclass(frozen=True)
class Mistake:
    """``confidence`` in the wrong class; ``right`` is what was left for the right one."""

    item: Example
    predicted: str
    confidence: float
    right: float


@dataclass(frozen=True)
class Evaluation:
    """``confusion``: int (classes, classes), rows are the true classes, columns the predicted ones."""

    vocab: list[str]
    confusion: np.ndarray
    mistakes: list[Mistake]

    @property
    def pictures(self) -> int:
        return int(self.confusion.sum())

    @property
    def error_rate(self) -> float:
        return len(self.mistakes) / self.pictures

    def classes(self) -> list[dict[str, Any]]:
        """For each class: pictures, right ones, recall, precision and F1 (None where nothing is divided by)."""
        rows = []
        for index, name in enumerate(self.vocab):
            pictures, told = int(self.confusion[index].sum()), int(self.confusion[:, index].sum())
            right = int(self.confusion[index, index])
            recall = right / pictures if pictures else None
            precision = right / told if told else None
            both = pictures + told
            rows.append(
                {
                    "class": name,
                    "pictures": pictures,
                    "right": right,
                    "recall": recall,
                    "precision": precision,
                    "f1": 2 * right / both if both else None,
                }
            )
        return rows

    def confused_pairs(self, most: int = 15) -> list[tuple[str, str, int]]:
        """(true class, predicted class, pictures), most frequent first."""
        pairs = [
            (self.vocab[row], self.vocab[column], int(self.confusion[row, column]))
            for row, column in np.argwhere(self.confusion)
            if row != column
        ]
        return sorted(pairs, key=lambda pair: (-pair[2], pair[:2]))[:most]


def evaluate(items: Sequence[Example], probabilities: np.ndarray, vocab: list[str]) -> Evaluation:
    """``probabilities``: float (n, classes) for ``items``. Mistakes come with the surest first."""
    confusion = np.zeros((len(vocab), len(vocab)), dtype=np.int64)
    mistakes = []
    for item, row in zip(items, probabilities, strict=True):
        truth, predicted = vocab.index(item.label), int(row.argmax())
        confusion[truth, predicted] += 1
        if truth != predicted:
            mistakes.append(Mistake(item, vocab[predicted], float(row[predicted]), float(row[truth])))
    mistakes.sort(key=lambda mistake: (-mistake.confidence, str(mistake.item.path)))
    return Evaluation(list(vocab), confusion, mistakes)
