from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from fastai_training.data.labels import DataError, Example
from fastai_training.data.split import assign_folds, split_notes, stratified_split


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


def grouped(**groups: str) -> list[Example]:
    """Each group's pictures by the letters of their classes: ``p1="aab"``."""
    return [
        Example(Path(f"/d/{name}_{n}.jpg"), label, name)
        for name, labels in groups.items()
        for n, label in enumerate(labels)
    ]


def groups(items: list[Example]) -> set[str]:
    return {item.group for item in items}


def labels(items: list[Example]) -> set[str]:
    return {item.label for item in items}


def test_without_groups_the_split_is_the_one_it_has_always_been():
    train, valid = stratified_split(examples(a=5, b=4, c=1), 0.4, 42)
    assert [item.path.name for item in valid] == ["a_0.jpg", "a_1.jpg", "b_1.jpg", "b_2.jpg"]
    assert [item.path.name for item in train] == ["a_2.jpg", "a_3.jpg", "a_4.jpg", "b_3.jpg", "b_0.jpg", "c_0.jpg"]


@pytest.mark.parametrize("seed", range(20))
def test_a_group_is_on_one_side_and_shares_are_those_asked_for(seed):
    items = grouped(**{f"p{n}": "aaabb" if n % 2 else "aab" for n in range(60)})
    train, valid = stratified_split(items, 0.2, seed)
    assert not groups(train) & groups(valid)
    assert sorted(map(str, [*train, *valid])) == sorted(map(str, items))
    for label in "ab":
        share = sum(item.label == label for item in valid) / sum(item.label == label for item in items)
        assert share == pytest.approx(0.2, abs=0.02)


def test_a_grouped_split_is_the_same_for_the_same_seed_whatever_the_order():
    items = grouped(**{f"p{n}": "ab" for n in range(20)})
    assert stratified_split(items, 0.3, 7) == stratified_split(items[::-1], 0.3, 7)
    assert stratified_split(items, 0.3, 7) != stratified_split(items, 0.3, 8)


def test_another_group_moves_few_of_the_others():
    parts = {f"p{n}": "aab" for n in range(50)}
    first = groups(stratified_split(grouped(**parts), 0.2, 3)[1])
    second = groups(stratified_split(grouped(**parts, new="aab"), 0.2, 3)[1])
    assert len(first) == 10
    assert len(first ^ second - {"new"}) <= 1


@pytest.mark.parametrize("seed", range(20))
def test_every_class_of_two_groups_is_on_both_sides(seed):
    # A class of few pictures among many: its share alone would not bring it to validation.
    items = grouped(**{f"p{n}": "aaaaaaaaaa" for n in range(30)}, rare1="b", rare2="ab", only="aac")
    train, valid = stratified_split(items, 0.1, seed)
    assert labels(train) == {"a", "b", "c"}
    assert labels(valid) == {"a", "b"}
    assert split_notes(train, valid, 0.1) == [
        "no validation picture is of c: how well they are told apart is not measured"
    ]


@pytest.mark.parametrize("seed", range(10))
def test_a_huge_group_stays_in_training(seed):
    items = grouped(huge="ab" * 100, **{f"p{n}": "ab" for n in range(60)})
    train, valid = stratified_split(items, 0.2, seed)
    assert "huge" in groups(train)
    assert len(valid) == 64


def test_a_picture_without_a_group_is_one_of_its_own():
    items = [*examples(a=40, b=40), *grouped(p="aabb")]
    train, valid = stratified_split(items, 0.5, 0)
    assert Counter(item.label for item in valid) == {"a": 21, "b": 21}
    assert len({item.group for item in [*train, *valid] if item.group}) == 1


def test_one_group_can_not_be_split():
    with pytest.raises(DataError, match="all 4 pictures are of one group, p1"):
        stratified_split(grouped(p1="aabb"), 0.2, 0)


def test_groups_that_are_each_a_class_of_their_own_can_not_be_split():
    with pytest.raises(DataError, match="of 2 groups none can be kept"):
        stratified_split(grouped(p1="aa", p2="bb"), 0.2, 0)


def test_two_groups_are_a_split_that_is_told_to_be_far_from_the_share():
    train, valid = stratified_split(grouped(p1="ab" * 5, p2="ab" * 5), 0.2, 0)
    assert (len(train), len(valid)) == (10, 10)
    assert split_notes(train, valid, 0.2) == ["groups stay whole: validation has 50% of the pictures instead of 20%"]


def test_a_split_that_is_as_asked_for_has_no_notes():
    assert split_notes(*stratified_split(examples(a=10, b=10), 0.2, 0), 0.2) == []


def test_many_absent_classes_are_counted():
    items = examples(**{f"class{n}": 1 for n in range(8)}, a=4)
    (note,) = split_notes(*stratified_split(items, 0.25, 0), 0.25)
    assert note.startswith("no validation picture is of class0, class1, class2, class3, class4 and 3 more:")


@pytest.mark.parametrize("seed", range(5))
def test_folds_are_of_one_size_and_have_the_same_classes(seed):
    items = examples(a=50, b=25, c=10)
    folds = assign_folds(items, 5, seed)
    cells = Counter((fold, item.label) for fold, item in zip(folds, items, strict=True))
    assert cells == {(fold, label): count for fold in range(5) for label, count in (("a", 10), ("b", 5), ("c", 2))}


def test_folds_are_the_same_for_the_same_seed_whatever_the_order():
    items = examples(a=20, b=20)
    folds = assign_folds(items, 4, 1)
    assert assign_folds(items[::-1], 4, 1) == folds[::-1]
    assert assign_folds(items, 4, 2) != folds


def test_a_group_is_in_one_fold_and_no_fold_is_empty():
    items = grouped(huge="ab" * 40, **{f"p{n}": "aab" for n in range(12)})
    folds = assign_folds(items, 4, 0)
    assert len({(item.group, fold) for item, fold in zip(items, folds, strict=True)}) == 13
    assert sorted(Counter(folds).values()) == [12, 12, 12, 80]


def test_more_folds_than_groups_are_refused():
    with pytest.raises(DataError, match="folds=3 needs as many groups at least, there are 2"):
        assign_folds(grouped(p1="ab", p2="ab"), 3, 0)
    with pytest.raises(DataError, match="folds=3 needs as many pictures at least, there are 2"):
        assign_folds(examples(a=1, b=1), 3, 0)


def test_a_fold_that_leaves_nothing_to_train_on_is_refused():
    with pytest.raises(DataError, match="folds=2: without the largest part, of 4 pictures, 1 is left"):
        assign_folds(grouped(p1="abab", p2="a"), 2, 0)
