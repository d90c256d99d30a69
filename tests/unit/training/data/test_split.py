from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from fastai_training.data.labels import DataError, Example
from fastai_training.data.split import stratified_split


def examples(**counts: int) -> list[Example]:
    return [Example(Path(f"/d/{label}_{n}.jpg"), label) for label, count in counts.items() for n in range(count)]


def test_each_class_is_split_by_the_share_asked_for():
    train, valid = stratified_split(examples(a=100, b=10), 0.2, 0)
    assert Counter(item.label for item in valid) == {"a": 20, "b": 2}
    assert Counter(item.label for item in train) == {"a": 80, "b": 8}
    assert not set(train) & set(valid)


def test_it_is_the_same_for_the_same_seed_whatever_the_order():
    items = examples(a=30, b=30)
    assert stratified_split(items, 0.3, 7) == stratified_split(items[::-1], 0.3, 7)
    assert stratified_split(items, 0.3, 7) != stratified_split(items, 0.3, 8)


def test_another_class_moves_no_picture():
    first = set(stratified_split(examples(a=30), 0.3, 7)[1])
    second = {item for item in stratified_split(examples(a=30, b=30), 0.3, 7)[1] if item.label == "a"}
    assert first == second


@pytest.mark.parametrize("share", [0.01, 0.9])
def test_both_sides_have_every_class_of_two(share):
    train, valid = stratified_split(examples(a=2, b=3, c=1), share, 0)
    assert {item.label for item in train} == {"a", "b", "c"}
    assert {item.label for item in valid} == {"a", "b"}


def test_nothing_to_validate_on_is_told():
    with pytest.raises(DataError, match="one picture only"):
        stratified_split(examples(a=1, b=1), 0.2, 0)
