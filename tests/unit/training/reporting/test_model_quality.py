from __future__ import annotations

import json

import numpy as np
import pytest

from fastai_training.reporting.model_quality import MOST_CLASSES, MOST_POINTS, model_quality

UNKNOWN = "NaN"


def told(confusion: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    """Pictures that give this confusion matrix, each with all its probability in one class."""
    cells = np.array(confusion)
    pairs = [(row, column) for row, column in np.ndindex(cells.shape) for _ in range(cells[row, column])]
    return np.array([row for row, _ in pairs]), np.eye(len(cells))[[column for _, column in pairs]]


def values(metrics: dict) -> dict[str, float]:
    return {name: facts["value"] for name, facts in metrics.items() if "value" in facts}


def test_two_classes_have_the_figures_of_sagemakers_own_example():
    # The documentation's example of binary metrics, but for its curves, which don't fit its confusion matrix.
    content = model_quality(*told([[1, 2], [0, 1]]), ["0", "1"], "test")
    metrics = content["binary_classification_metrics"]
    assert metrics["confusion_matrix"] == {"0": {"0": 1, "1": 2}, "1": {"0": 0, "1": 1}}
    expected = {
        "recall": 1.0,
        "precision": 1 / 3,
        "accuracy": 0.5,
        "true_positive_rate": 1.0,
        "true_negative_rate": 1 / 3,
        "false_positive_rate": 2 / 3,
        "false_negative_rate": 0.0,
        "f0_5": 0.38461538,
        "f1": 0.5,
        "f2": 0.71428571,
        "auc": (1 * 1 + 2 * 0.5) / 3,
    }
    assert values(metrics) == pytest.approx(expected)
    assert {facts["standard_deviation"] for facts in metrics.values() if "value" in facts} == {UNKNOWN}
    assert content["dataset"] == {"item_count": 4, "split": "test", "positive_class": "1"}


def test_several_classes_have_the_figures_computed_by_hand():
    content = model_quality(*told([[3, 1, 0], [1, 1, 0], [0, 2, 0]]), ["a", "b", "c"], "validation")
    metrics = content["multiclass_classification_metrics"]
    assert metrics["confusion_matrix"]["c"] == {"a": 0, "b": 2, "c": 0}
    # Recall 3/4, 1/2, 0 and precision 3/4, 1/4, 0 (c is never predicted), weighted by 4, 2 and 2 pictures of 8.
    assert values(metrics) == pytest.approx(
        {
            "accuracy": 4 / 8,
            "weighted_recall": (4 * 3 / 4 + 2 * 1 / 2) / 8,
            "weighted_precision": (4 * 3 / 4 + 2 * 1 / 4) / 8,
            "weighted_f0_5": (4 * 3 / 4 + 2 * (1.25 / (0.25 * 2 + 4))) / 8,
            "weighted_f1": (4 * 3 / 4 + 2 * (2 / (2 + 4))) / 8,
            "weighted_f2": (4 * 3 / 4 + 2 * (5 / (4 * 2 + 4))) / 8,
        }
    )
    assert content["dataset"] == {"item_count": 8, "split": "validation"}
    assert list(content) == ["multiclass_classification_metrics", "dataset"]


def test_weights_are_those_of_sagemakers_own_example():
    # Its example of multiclass metrics has two classes; a third without pictures changes nothing.
    content = model_quality(*told([[1180, 510, 0], [268, 138, 0], [0, 0, 0]]), ["0", "1", "2"], "test")
    found = content["multiclass_classification_metrics"]
    assert values(found) == pytest.approx(
        {
            "accuracy": 0.6288167938931297,
            "weighted_recall": 0.6288167938931297,
            "weighted_precision": 0.6983172269629505,
            "weighted_f0_5": 0.6803947317178771,
            "weighted_f1": 0.6571162346664904,
            "weighted_f2": 0.6384024354394601,
        }
    )
    # Samples of 80 % are drawn at random: only its size is known.
    assert found["accuracy"]["standard_deviation"] == pytest.approx(0.0045, abs=0.004)


def test_the_curves_have_a_point_for_each_threshold():
    truth = np.array([1, 0, 1, 0])
    positive = np.array([0.9, 0.8, 0.7, 0.7])  # the last two pass together
    metrics = model_quality(truth, np.stack([1 - positive, positive], axis=1), ["no", "yes"], "test")[
        "binary_classification_metrics"
    ]
    assert metrics["receiver_operating_characteristic_curve"] == {
        "false_positive_rates": [0.0, 0.0, 0.5, 1.0],
        "true_positive_rates": [0.0, 0.5, 0.5, 1.0],
    }
    assert metrics["precision_recall_curve"] == {"precisions": [1.0, 1.0, 0.5, 0.5], "recalls": [0.0, 0.5, 0.5, 1.0]}
    # Of the four pairs of a positive and a negative one is equal, one wrong, two right.
    assert metrics["auc"]["value"] == pytest.approx((2 + 0.5) / 4)


def test_what_can_not_be_known_is_said_to_be():
    metrics = model_quality(*told([[3, 0], [0, 0]]), ["no", "yes"], "test")["binary_classification_metrics"]
    assert {name for name, value in values(metrics).items() if value == UNKNOWN} == {
        "recall",
        "precision",
        "true_positive_rate",
        "false_negative_rate",
        "f0_5",
        "f1",
        "f2",
        "auc",
    }
    assert "receiver_operating_characteristic_curve" not in metrics
    assert "precision_recall_curve" not in metrics
    assert "NaN" not in json.dumps(metrics, allow_nan=False).replace('"NaN"', "")


def test_deviations_come_with_two_hundred_pictures_and_are_repeatable():
    few = model_quality(*told([[99, 20], [20, 60]]), ["a", "b"], "test")["binary_classification_metrics"]
    many = [
        model_quality(*told([[100, 20], [20, 60]]), ["a", "b"], "test")["binary_classification_metrics"] for _ in "ab"
    ]
    assert few["accuracy"]["standard_deviation"] == UNKNOWN
    assert 0 < many[0]["accuracy"]["standard_deviation"] < 0.05
    assert many[0] == many[1]


def test_many_pictures_and_many_classes_make_no_huge_file():
    generator = np.random.default_rng(1)
    positive = generator.random(5000)
    truth = (generator.random(5000) < positive).astype(int)
    metrics = model_quality(truth, np.stack([1 - positive, positive], axis=1), ["a", "b"], "test")[
        "binary_classification_metrics"
    ]
    curve = metrics["receiver_operating_characteristic_curve"]["true_positive_rates"]
    assert len(curve) == MOST_POINTS
    assert (curve[0], curve[-1]) == (0, 1)
    names = [str(number) for number in range(MOST_CLASSES + 1)]
    matrix = model_quality(np.arange(len(names)), np.eye(len(names)), names, "test")[
        "multiclass_classification_metrics"
    ]["confusion_matrix"]
    assert matrix == {name: {name: 1} for name in names}
