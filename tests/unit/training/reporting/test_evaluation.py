from __future__ import annotations

from pathlib import Path

import numpy as np

from fastai_training.data.labels import Example
from fastai_training.reporting.evaluation import evaluate

VOCAB = ["blue", "green", "red"]


def test_the_evaluation_counts():
    labels = ["red", "green", "blue", "red"]
    items = [Example(Path(f"{number}.jpg"), label) for number, label in enumerate(labels)]
    rows = np.full((4, 3), 0.1)
    for number, (column, share) in enumerate(((2, 0.8), (1, 0.8), (1, 0.6), (1, 0.9))):
        rows[number, column] = share
    found = evaluate(items, rows, VOCAB)
    assert (found.pictures, found.error_rate) == (4, 0.5)
    assert [(mistake.predicted, round(mistake.confidence, 2)) for mistake in found.mistakes] == [
        ("green", 0.9),
        ("green", 0.6),
    ]
    rows = {row["class"]: row for row in found.classes()}
    assert rows["red"] == {"class": "red", "pictures": 2, "right": 1, "recall": 0.5, "precision": 1.0, "f1": 2 / 3}
    assert rows["blue"]["precision"] is None
    assert found.confused_pairs() == [("blue", "green", 1), ("red", "green", 1)]
