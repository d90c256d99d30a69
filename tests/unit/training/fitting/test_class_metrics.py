from __future__ import annotations

import math
from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")

from fastai_training.fitting.class_metrics import balanced_accuracy, class_metrics, f1_macro, tally  # noqa: E402

#: Of four classes: nobody is class 3, but one picture is taken for it.
TARGETS = torch.tensor([0, 0, 0, 0, 0, 0, 1, 1, 2, 2])
PREDICTED = torch.tensor([0, 0, 0, 0, 0, 1, 1, 0, 2, 3])


def test_a_tally_counts_by_class():
    assert tally(PREDICTED, TARGETS, 4).tolist() == [[6, 2, 2, 0], [6, 2, 1, 1], [5, 1, 1, 0]]


def test_the_scores_count_each_class_alike():
    tallies = tally(PREDICTED, TARGETS, 4)
    assert balanced_accuracy(tallies) == pytest.approx((5 / 6 + 1 / 2 + 1 / 2) / 3)
    assert f1_macro(tallies) == pytest.approx((10 / 12 + 2 / 4 + 2 / 3 + 0) / 4)


@pytest.mark.filterwarnings("ignore")
def test_they_are_scikit_learns():
    sklearn = pytest.importorskip("sklearn.metrics")
    torch.manual_seed(0)
    targets, predicted = torch.randint(0, 7, (50,)), torch.randint(0, 9, (50,))
    tallies = tally(predicted, targets, 12)
    assert balanced_accuracy(tallies) == pytest.approx(sklearn.balanced_accuracy_score(targets, predicted))
    assert f1_macro(tallies) == pytest.approx(sklearn.f1_score(targets, predicted, average="macro"))


def test_an_epochs_batches_add_up_and_the_next_epoch_starts_anew():
    metrics = class_metrics(4)
    assert [metric.name for metric in metrics] == ["balanced_accuracy", "f1_macro"]
    for metric, score in zip(metrics, (balanced_accuracy, f1_macro), strict=True):
        for _ in range(2):
            metric.reset()
            for part in (slice(0, 7), slice(7, 10)):
                scores = torch.nn.functional.one_hot(PREDICTED[part], 4).float()
                metric.accumulate(SimpleNamespace(pred=scores, y=TARGETS[part]))
            assert metric.value == score(tally(PREDICTED, TARGETS, 4))


def test_of_no_pictures_there_is_no_score():
    assert all(math.isnan(metric.value) for metric in class_metrics(3))
