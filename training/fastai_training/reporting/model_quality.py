"""Figures of a classifier in the schema of SageMaker's model-quality metrics, as Model Monitor writes them.

With two classes these are its ``binary_classification_metrics``, where the second class by name is the positive one;
with more its ``multiclass_classification_metrics``. What can't be known is the text ``NaN``, as there.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

#: Model Monitor gives standard deviations from so many pictures on: those of so many random samples of such a share.
LEAST_FOR_DEVIATION, SAMPLES, SHARE = 200, 5, 0.8
#: A curve has at most so many points, and a confusion matrix its empty cells for at most so many classes.
MOST_POINTS, MOST_CLASSES = 200, 100
_BETAS = {"f0_5": 0.5, "f1": 1.0, "f2": 2.0}


def _divided(above: float, below: float) -> float:
    return float(above / below) if below else math.nan


def _multiclass(confusion: np.ndarray) -> dict[str, float]:
    """Each class counts by its pictures; one that was never predicted has the precision 0."""
    pictures, told, right = confusion.sum(1), confusion.sum(0), np.diag(confusion)
    total = confusion.sum()

    def weighted(values: np.ndarray) -> float:
        return _divided((values * pictures).sum(), total)

    def by_class(above: np.ndarray, below: np.ndarray) -> np.ndarray:
        return np.divide(above, below, out=np.zeros(len(above)), where=below > 0)

    found = {
        "accuracy": _divided(right.sum(), total),
        "weighted_recall": weighted(by_class(right, pictures)),
        "weighted_precision": weighted(by_class(right, told)),
    }
    for name, beta in _BETAS.items():
        found[f"weighted_{name}"] = weighted(by_class((1 + beta**2) * right, beta**2 * pictures + told))
    return found


def _binary(confusion: np.ndarray) -> dict[str, float]:
    (true_negative, false_positive), (false_negative, true_positive) = confusion.tolist()
    negative, positive = true_negative + false_positive, false_negative + true_positive
    told = true_positive + false_positive
    found = {
        "recall": _divided(true_positive, positive),
        "precision": _divided(true_positive, told),
        "accuracy": _divided(true_positive + true_negative, positive + negative),
        "true_positive_rate": _divided(true_positive, positive),
        "true_negative_rate": _divided(true_negative, negative),
        "false_positive_rate": _divided(false_positive, negative),
        "false_negative_rate": _divided(false_negative, positive),
    }
    for name, beta in _BETAS.items():
        found[name] = _divided((1 + beta**2) * true_positive, beta**2 * positive + told)
    return found


def _counts(positive: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """True and false positives for each threshold, the highest first; before them 0, of a threshold above all."""
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.diff(scores[order]) != 0, True)  # pictures with the same score pass it together
    right = np.cumsum(positive[order])[last]
    wrong = np.cumsum(~positive[order])[last]
    return np.append(0, right), np.append(0, wrong)


def _area(right: np.ndarray, wrong: np.ndarray) -> float:
    """The area under the curve of true positives by false ones (trapezoids)."""
    area = (np.diff(wrong) * (right[1:] + right[:-1]) / 2).sum()
    return _divided(area, right[-1] * wrong[-1])


def _curves(right: np.ndarray, wrong: np.ndarray) -> dict[str, Any]:
    """The two curves; without the one that needs a class that has no picture."""
    curves: dict[str, Any] = {}
    chosen = np.unique(np.linspace(0, len(right) - 1, MOST_POINTS).round().astype(int))
    positives, negatives = right[-1], wrong[-1]
    right, wrong = right[chosen], wrong[chosen]
    if positives and negatives:
        curves["receiver_operating_characteristic_curve"] = {
            "false_positive_rates": (wrong / negatives).tolist(),
            "true_positive_rates": (right / positives).tolist(),
        }
    if positives:
        told = right + wrong
        # Where nothing is told positive, nothing told is wrong.
        precisions = np.divide(right, told, out=np.ones(len(told)), where=told > 0)
        curves["precision_recall_curve"] = {
            "precisions": precisions.tolist(),
            "recalls": (right / positives).tolist(),
        }
    return curves


def _matrix(truth: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    classes = probabilities.shape[1]
    cells = truth * classes + probabilities.argmax(1)
    return np.bincount(cells, minlength=classes**2).reshape(classes, classes)


def _values(truth: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    confusion = _matrix(truth, probabilities)
    if len(confusion) > 2:
        return _multiclass(confusion)
    return _binary(confusion) | {"auc": _area(*_counts(truth == 1, probabilities[:, 1]))}


def _deviations(truth: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """Of each value; the same whenever it is asked."""
    if len(truth) < LEAST_FOR_DEVIATION:
        return {}
    generator = np.random.default_rng(0)
    samples = []
    for _ in range(SAMPLES):
        chosen = generator.permutation(len(truth))[: round(SHARE * len(truth))]
        samples.append(_values(truth[chosen], probabilities[chosen]))
    return {name: float(np.std([sample[name] for sample in samples])) for name in samples[0]}


def _known(value: float) -> float | str:
    return value if math.isfinite(value) else "NaN"


def model_quality(truth: np.ndarray, probabilities: np.ndarray, vocab: list[str], split: str) -> dict[str, Any]:
    """The content of evaluation.json.

    ``truth``: int (n,), places in ``vocab``; ``probabilities``: float (n, classes). ``split``, the name of what the
    pictures are, and how many there are is told under ``dataset``, where Model Monitor tells what it evaluated.
    """
    truth = np.asarray(truth, dtype=np.int64)
    values, deviations = _values(truth, probabilities), _deviations(truth, probabilities)
    confusion = _matrix(truth, probabilities)
    every = len(vocab) <= MOST_CLASSES
    metrics: dict[str, Any] = {
        "confusion_matrix": {
            name: {vocab[column]: int(row[column]) for column in (range(len(vocab)) if every else np.flatnonzero(row))}
            for name, row in zip(vocab, confusion, strict=True)
        }
    }
    for name, value in values.items():
        metrics[name] = {"value": _known(value), "standard_deviation": _known(deviations.get(name, math.nan))}
    dataset: dict[str, Any] = {"item_count": len(truth), "split": split}
    if len(vocab) > 2:
        return {"multiclass_classification_metrics": metrics, "dataset": dataset}
    metrics |= _curves(*_counts(truth == 1, probabilities[:, 1]))
    return {"binary_classification_metrics": metrics, "dataset": dataset | {"positive_class": vocab[1]}}
