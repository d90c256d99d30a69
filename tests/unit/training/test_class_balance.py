from __future__ import annotations

import random
from collections import Counter

import pytest

from fastai_training.class_balance import balanced_order, class_weights, sampling_told, weights_told

COUNTS = {"common": 80, "middle": 15, "rare": 5}


@pytest.mark.parametrize("how", ["balanced", "sqrt"])
def test_the_mean_weight_of_all_pictures_is_one(how):
    weights = class_weights(how, COUNTS)
    assert sum(weights[label] * count for label, count in COUNTS.items()) == pytest.approx(100)


def test_balanced_weights_give_each_class_the_same_share():
    weights = class_weights("balanced", COUNTS)
    assert weights == {label: pytest.approx(100 / (3 * count)) for label, count in COUNTS.items()}


def test_square_roots_correct_half_way():
    weights = class_weights("sqrt", COUNTS)
    assert weights["rare"] / weights["common"] == pytest.approx(4)


def test_classes_of_one_size_weigh_one():
    assert class_weights("sqrt", {"a": 7, "b": 7}) == {"a": 1, "b": 1}


def test_an_order_holds_each_class_equally_often_and_repeats_a_picture_only_after_all_of_its_class():
    labels = [label for label, count in COUNTS.items() for _ in range(count)]
    order = balanced_order(labels, random.Random(1))
    assert len(order) == len(set(order)) == 100
    by_class = Counter(labels[number % 100] for number in order)
    assert sorted(by_class.values()) == [33, 33, 34]
    times = Counter(number % 100 for number in order)
    assert {times[number] for number in range(80)} == {0, 1}
    assert {times[number] for number in range(95, 100)} <= {6, 7}
    assert order == balanced_order(labels, random.Random(1)) != balanced_order(labels, random.Random(2))


def test_the_log_names_the_rarest_and_the_commonest_class():
    assert weights_told("balanced", COUNTS) == (
        "class_weights=balanced: 6.67 for rare, the rarest class (5 pictures), 0.417 for common, the commonest (80)"
    )
    labels = [label for label, count in COUNTS.items() for _ in range(count)]
    assert sampling_told(labels) == (
        "sampling=balanced: about 33 pictures of each class an epoch: one of rare, the rarest class, comes 6.67 times, "
        "one of common, the commonest, 0.417 times"
    )
