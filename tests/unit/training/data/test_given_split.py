from __future__ import annotations

import pytest

from fastai_training.data.given_split import (
    read_column,
    split_column,
    split_of_name,
    splits_of_files,
    splits_of_siblings,
)
from fastai_training.data.labels import DataError

RIGHT = {
    "train": "train",
    "Training": "train",
    "train_images": "train",
    "images_train": "train",
    "TrainingData": "train",
    "train-2": "train",
    "val": "valid",
    "Validation Set": "valid",
    "val_images": "valid",
    "dev": "valid",
    "test": "test",
    "test1": "test",
    "holdout": "test",
}


@pytest.mark.parametrize("name", RIGHT)
def test_a_part_of_a_split_is_known_by_its_name(name):
    assert split_of_name(name) == RIGHT[name]


@pytest.mark.parametrize(
    "name",
    ["", "trainer", "toy_train", "device", "testament", "valley", "TEST_SIMPLE", "test-multiple_fruits", "latest"],
)
def test_other_names_are_no_part(name):
    assert split_of_name(name) == ""


def test_a_split_has_a_part_for_training_and_another():
    assert splits_of_siblings(["train", "val", "docs"]) == {"train": ("train", ""), "val": ("valid", "")}
    for names in (["train", "car"], ["val", "test"], ["train", "train_images"], ["toy_train", "toy_car"], []):
        assert splits_of_siblings(names) == {}


def test_what_else_the_names_say_is_kept_where_it_differs():
    assert splits_of_siblings(["seg_train", "seg_test", "seg_pred"]) == {
        "seg_train": ("train", ""),
        "seg_test": ("test", ""),
    }
    found = splits_of_siblings(["cats_train", "cats-val", "dogs_train", "dogs_val", "birds_train"])
    assert found == {
        "cats_train": ("train", "cats"),
        "cats-val": ("valid", "cats"),
        "dogs_train": ("train", "dogs"),
        "dogs_val": ("valid", "dogs"),
        "birds_train": ("train", "birds"),
    }


def test_flags_say_which_rows_validate():
    assert read_column("is_valid", ["True", "0", "FALSE", "1.0"], "", "t.csv")[0] == [
        "valid",
        "train",
        "train",
        "valid",
    ]
    with pytest.raises(
        DataError, match=r"t\.csv, column is_valid has values that say no split: 'maybe'.*true or false"
    ):
        read_column("is_valid", ["True", "maybe"], "", "t.csv")


def test_words_say_which_rows_are_for_what():
    split, told = read_column("Split", ["train", "val", "test"], "", "t.csv")
    assert (split, told) == (["train", "valid", "test"], "split by t.csv, column Split")
    with pytest.raises(DataError, match=r"say no split: '', 'other'.*train, valid or test"):
        read_column("split", ["train", "other", ""], "", "t.csv")


def test_a_fold_validates():
    assert read_column("fold", ["10", "9", "10"], "", "t.csv")[0] == ["train", "valid", "train"], "the lowest number"
    split, told = read_column("fold", ["0", "1", "2"], "2", "t.csv")
    assert (split, told) == (["train", "train", "valid"], "fold 2 of t.csv, column fold validates")
    with pytest.raises(DataError, match="has no fold '7'; it has 0, 1"):
        read_column("fold", ["0", "1"], "7", "t.csv")
    with pytest.raises(DataError, match="one fold only"):
        read_column("fold", ["0", "0"], "", "t.csv")


def test_the_columns_of_a_split_are_known_by_name():
    assert split_column(["file", "Is_Valid", "split"]) == "Is_Valid"
    assert split_column(["file", "label"]) == ""


FILES = {
    ("train.rec", "val.rec"): ["train", "valid"],
    ("pets_train.lst", "pets_val.lst", "pets_test.lst"): ["train", "valid", "test"],
    ("caltech-256-60-train.rec", "val.rec"): ["train", "valid"],
    ("train_0.rec", "train_1.rec", "val.rec"): ["train", "train", "valid"],
    ("train-00000-of-00002.rec", "train-00001-of-00002.rec", "val-00000-of-00001.rec"): ["train", "train", "valid"],
    ("train/0.rec", "train/1.rec", "set/val/0.rec"): ["train", "train", "valid"],
    ("data-0.rec", "data-1.rec"): ["", ""],
    ("train.rec",): [""],
    ("train.rec", "extra.rec"): ["", ""],
    ("val.rec", "test.rec"): ["", ""],
    (): [],
}


@pytest.mark.parametrize("names", FILES)
def test_files_are_for_the_part_that_their_name_or_folder_says(names):
    assert splits_of_files(names) == FILES[names]


def test_a_file_of_no_part_beside_those_of_a_split_is_refused():
    with pytest.raises(DataError, match=r"train\.rec is a part of a split by its name, extra\.rec is none"):
        splits_of_files(["extra.rec", "train.rec", "val.rec"])
