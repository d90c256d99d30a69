from __future__ import annotations

import os

import pytest

from fastai_training.data.labels import DataError
from fastai_training.data.readers.reader import Asked
from fastai_training.data.sources import find_examples
from tests.unit.training_data import COLOURS, write_picture, write_pictures


def test_labels_come_from_class_folders(tmp_path):
    for name in ("cat", "dog"):
        write_pictures(tmp_path / name, 1)
    found = find_examples(tmp_path)
    assert found.source == "folders"
    assert {item.path.relative_to(tmp_path).as_posix(): item.label for item in found.items}["cat/red_1.jpg"] == "cat"
    assert found.vocab == ["cat", "dog"]


def test_class_folders_below_a_split_are_used_as_it_is(tmp_path):
    for split, number in (("train", 3), ("val", 2)):
        for name in ("cat", "dog"):
            write_pictures(tmp_path / split / name, number, ("red",))
    found = find_examples(tmp_path)
    assert (found.source, found.vocab) == ("folders", ["cat", "dog"])
    assert [item.split for item in found.items] == ["train"] * 6 + ["valid"] * 4
    assert any("train (6), val (4) are a split" in note.text for note in found.notes)


def test_folders_of_folders_that_could_both_be_classes_are_refused(tmp_path):
    for outer in ("photo", "sketch"):
        for inner in ("cat", "dog"):
            write_pictures(tmp_path / outer / inner, 1)
    with pytest.raises(DataError, match=r"first \(photo, sketch\) or the last \(cat, dog\).*class_folder"):
        find_examples(tmp_path)
    assert find_examples(tmp_path, Asked(class_folder="first")).vocab == ["photo", "sketch"]
    assert find_examples(tmp_path, Asked(class_folder="last")).vocab == ["cat", "dog"]


def test_a_class_whose_name_is_not_utf8_gets_one_that_is(tmp_path):
    for name in (b"caf\xe9", b"tea"):
        write_pictures(tmp_path / os.fsdecode(name), 1)
    assert find_examples(tmp_path).vocab == ["caf?", "tea"]


def test_pictures_outside_of_class_folders_are_left_out(tmp_path):
    for name in ("cat", "dog"):
        write_pictures(tmp_path / name, 4)
    write_picture(tmp_path / "cover_1.jpg", COLOURS["red"])
    found = find_examples(tmp_path)
    assert (found.source, found.vocab) == ("folders", ["cat", "dog"])
    assert found.skipped == [("cover_1.jpg", "not in a class folder")]
