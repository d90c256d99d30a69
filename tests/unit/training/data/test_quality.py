from __future__ import annotations

from pathlib import Path

from fastai_training.data.labels import Example
from fastai_training.data.quality import examine


def some(label: str, *names: str) -> list[Example]:
    return [Example(Path(name), label) for name in names]


def digests(*same: tuple[str, ...]) -> dict[Path, bytes]:
    """Hashes of files; the names of one tuple are copies of each other."""
    return {Path(name): bytes([number]) for number, names in enumerate(same) for name in names}


def texts(*arguments) -> list[str]:
    return [f"{note.text} ({note.example})" for note in examine(*arguments)]


def test_of_good_data_nothing_is_said():
    train = some("cat", "1", "2") + some("dog", "3", "4")
    assert texts(train, some("cat", "5") + some("dog", "6"), [], digests(*"123456")) == []


def test_classes_of_one_picture_and_classes_that_are_not_validated_are_named():
    train = some("cat", "1", "2") + [item for number in range(7) for item in some(f"rare {number}", f"r{number}")]
    assert texts(train, some("cat", "3"), [], {}) == [
        "7 classes have one picture to train on (rare 0, rare 1, rare 2, rare 3, rare 4 …)",
        "7 of 8 classes have no picture to validate on: the error says nothing of them "
        "(rare 0, rare 1, rare 2, rare 3, rare 4 …)",
    ]


def test_uneven_classes_are_named_with_what_to_do():
    train = some("cat", *(f"c{number}" for number in range(21))) + some("dog", "1", "2")
    (text,) = texts(train, some("cat", "3") + some("dog", "4"), [], {})
    assert text.startswith("classes are uneven: dog has 2 pictures, cat 21; sampling=balanced")


def test_copies_on_both_sides_of_the_split_are_counted_with_one_of_each():
    train, valid = some("cat", "1", "2", "3"), some("cat", "4", "5")
    found = texts(train, valid, some("cat", "6"), digests(("1", "2", "4"), ("3", "6"), ("5",)))
    assert found == [
        "1 pictures are on both sides of the split (train and valid), byte for byte the same; the error that is "
        "measured is too low (1 (train), 4 (valid))",
        "1 pictures are on both sides of the split (train and test), byte for byte the same; the error that is "
        "measured is too low (3 (train), 6 (test))",
    ]


def test_one_picture_under_two_labels_is_named_with_both():
    train = some("cat", "1", "2", "3") + some("dog", "4")
    found = texts(train, some("cat", "5") + some("dog", "6"), [], digests(("1", "2", "4"), ("3",), ("5",), ("6",)))
    assert found[1:] == ["1 pictures are there under different labels, byte for byte the same (1 (cat), 4 (dog))"]


def test_copies_in_training_alone_are_counted():
    found = texts(some("cat", "1", "2", "3"), some("cat", "4"), [], digests(("1", "2", "3"), ("4",)))
    assert found == ["2 pictures are copies of others, byte for byte (1, 2, 3)"]


def test_pictures_whose_bytes_were_not_read_are_no_copies():
    assert texts(some("cat", "1", "2"), some("cat", "3"), [], {}) == []
