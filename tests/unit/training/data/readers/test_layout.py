from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from fastai_training.data.labels import DataError
from fastai_training.data.picture_files import read_tree
from fastai_training.data.readers.layout import class_level, class_of, read_layout
from fastai_training.data.readers.reader import Asked, Channel
from tests.unit.training_data import write_empty


def channel_of(root: Path, *patterns: str, known: tuple[str, ...] = ()) -> Channel:
    write_empty(root, *patterns)
    return Channel(root, read_tree(root), known=frozenset(known))


def arranged(channel: Channel) -> Counter[tuple[str, str]]:
    """How many pictures have which folders and which part of the split."""
    return Counter(("/".join(place.folders), place.split) for place in read_layout(channel, channel.pictures))


def said(channel: Channel) -> str:
    return "; ".join(note.text for note in channel.notes)


SPLITS = {
    "chest_xray": (
        [f"chest_xray/{part}/{label}/{{}}.jpeg" for part in ("train", "val", "test") for label in ("NORMAL", "SICK")],
        {(label, part): 4 for part in ("train", "valid", "test") for label in ("NORMAL", "SICK")},
    ),
    "other words": (
        ["Train/a/{}.jpg", "Validation Set/a/{}.jpg", "Test Data/a/{}.jpg", "Train/b/{}.jpg"],
        {("a", "train"): 4, ("b", "train"): 4, ("a", "valid"): 4, ("a", "test"): 4},
    ),
    "a split inside of each class": (
        [f"data/{label}/{part}/{{}}.jpg" for part in ("train", "val") for label in ("cat", "dog")],
        {(label, part): 4 for part in ("train", "valid") for label in ("cat", "dog")},
    ),
    "a prefix of all, and each folder in one of its name (Intel's scenes)": (
        ["seg_train/seg_train/sea/{}.jpg", "seg_train/seg_train/ice/{}.jpg", "seg_test/seg_test/sea/{}.jpg"],
        {("sea", "train"): 4, ("ice", "train"): 4, ("sea", "test"): 4},
    ),
    "the class is the prefix": (
        ["cats_train/{}.jpg", "cats_val/{}.jpg", "dogs_train/{}.jpg", "dogs_val/{}.jpg"],
        {(label, part): 4 for part in ("train", "valid") for label in ("cats", "dogs")},
    ),
    "the class is the letter (CycleGAN)": (
        [
            "horse2zebra/trainA/{}.jpg",
            "horse2zebra/trainB/{}.jpg",
            "horse2zebra/testA/{}.jpg",
            "horse2zebra/testB/{}.jpg",
        ],
        {(label, part): 4 for part in ("train", "test") for label in "AB"},
    ),
    "a folder of images in one part alone": (
        ["train/images/a/{}.jpg", "train/images/b/{}.jpg", "val/a/{}.jpg"],
        {("a", "train"): 4, ("b", "train"): 4, ("a", "valid"): 4},
    ),
    "a class is called train": (
        ["train/{}.jpg", "car/{}.jpg", "plane/{}.jpg"],
        {(n, ""): 4 for n in ("train", "car", "plane")},
    ),
    "a class is called train in both parts": (
        [f"{part}/{label}/{{}}.jpg" for part in ("train", "val") for label in ("train", "car")],
        {(label, part): 4 for part in ("train", "valid") for label in ("train", "car")},
    ),
    "a class is called toy_train": (["toy_train/{}.jpg", "toy_car/{}.jpg"], {("toy_train", ""): 4, ("toy_car", ""): 4}),
    "no part for training": (["val/cat/{}.jpg", "test/cat/{}.jpg"], {("val/cat", ""): 4, ("test/cat", ""): 4}),
    "files in the parts themselves": (["train/cat_{}.jpg", "test1/{}.jpg"], {("", "train"): 4, ("", "test"): 4}),
}


@pytest.mark.parametrize("name", SPLITS)
def test_a_split_is_found_in_the_folders_names(tmp_path, name):
    patterns, right = SPLITS[name]
    assert arranged(channel_of(tmp_path, *patterns)) == Counter(right)


def test_a_part_with_one_class_keeps_it(tmp_path):
    channel = channel_of(tmp_path, "train/cat/{}.jpg", "train/dog/{}.jpg", "val/cat/{}.jpg")
    assert arranged(channel)["cat", "valid"] == 4


def test_what_lies_beside_a_split_is_named_with_its_number(tmp_path):
    channel = channel_of(
        tmp_path, *(f"set/images/{part}/{label}/{{}}.jpg" for part in ("train", "val") for label in "ab")
    )
    write_empty(tmp_path, "set/docs/figure.png", "set/images/cover.jpg", "set/images/unlabelled/{}.jpg")
    channel = Channel(tmp_path, read_tree(tmp_path))
    assert sum(arranged(channel).values()) == 16
    assert "the folders train (8), val (8) are a split" in said(channel)
    assert "1 pictures in set/docs are not used" in said(channel)
    assert "4 pictures in set/images/unlabelled are not used" in said(channel)
    assert "1 pictures in set/images are not used" in said(channel)


def test_a_copy_of_the_whole_set_inside_of_it_is_not_used(tmp_path):
    parts = [f"{part}/{label}/{{}}.jpg" for part in ("train", "val") for label in "ab"]
    channel = channel_of(tmp_path, *(f"x/{part}" for part in parts), *(f"x/x/{part}" for part in parts))
    assert sum(arranged(channel).values()) == 16
    assert "16 pictures in x/x are not used" in said(channel)


def test_a_split_in_some_classes_only_is_refused(tmp_path):
    channel = channel_of(tmp_path, "a/train/{}.jpg", "a/val/{}.jpg", "b/train/{}.jpg", "b/val/{}.jpg", "c/{}.jpg")
    with pytest.raises(DataError, match=r"some folders have a split in them \(a, b\), others have none \(c\)"):
        read_layout(channel, channel.pictures)


def test_a_split_in_one_class_only_is_refused(tmp_path):
    channel = channel_of(tmp_path, "a/train/{}.jpg", "a/val/{}.jpg", "b/{}.jpg", "c/{}.jpg")
    with pytest.raises(DataError, match=r"some folders have a split in them \(a\), others have none \(b, c\)"):
        read_layout(channel, channel.pictures)


def test_versions_of_one_picture_are_named(tmp_path):
    write_empty(tmp_path, "color/ill/{}.jpg", "gray/ill/{}.jpg", "gray/well/w{}.jpg")
    channel = Channel(tmp_path, read_tree(tmp_path), Asked(class_folder="last"))
    assert class_level(channel, read_layout(channel, channel.pictures)) == "last"
    assert "4 names are there in several folders (color, gray); if these hold versions of one picture" in said(channel)


@pytest.mark.parametrize("outer", ["imagenette2", "fold_1"])
def test_several_data_sets_with_a_split_each_are_refused(tmp_path, outer):
    parts = [f"{part}/{label}/{{}}.jpg" for part in ("train", "val") for label in ("cat", "dog")]
    channel = channel_of(tmp_path, *(f"{outer}/{part}" for part in parts), *(f"other/{part}" for part in parts))
    with pytest.raises(DataError, match=rf"have a split and classes in them \({outer}, other\); leave one"):
        read_layout(channel, channel.pictures)


def test_years_below_the_split_of_a_class_are_no_classes(tmp_path):
    channel = channel_of(tmp_path, *(f"{name}/{part}/2023/{{}}.jpg" for name in "ab" for part in ("train", "val")))
    assert set(arranged(channel)) == {(f"{name}/2023", part) for name in "ab" for part in ("train", "valid")}


def test_the_folder_of_a_known_class_is_kept_though_all_lie_in_it(tmp_path):
    assert arranged(channel_of(tmp_path, "set/cat/2023/{}.jpg", known=("cat", "dog"))) == {("cat/2023", ""): 4}
    assert arranged(channel_of(tmp_path / "other", "set/cat/{}.jpg")) == {("", ""): 4}


LEVELS = {
    "years": (["cat/2023/{}.jpg", "cat/2024/{}.jpg", "dog/2023/{}.jpg"], {"cat", "dog"}),
    "years first": (["2023/cat/{}.jpg", "2024/cat/{}.jpg", "2023/dog/{}.jpg"], {"cat", "dog"}),
    "folds": (["fold1/cat/{}.jpg", "fold2/dog/{}.jpg"], {"cat", "dog"}),
    "patients": (["ill/patient_01/{}.jpg", "well/patient_02/{}.jpg"], {"ill", "well"}),
    "images in each": (["cat/images/{}.jpg", "dog/images/{}.jpg"], {"cat", "dog"}),
    "one of a word that says nothing": (["cat/web/{}.jpg", "dog/web/{}.jpg"], {"cat", "dog"}),
    "some without a year": (["cat/2023/{}.jpg", "dog/{}.jpg"], {"cat", "dog"}),
    "images below a split": (["train/images/a/{}.jpg", "train/images/b/{}.jpg", "val/images/a/{}.jpg"], {"a", "b"}),
    "a folder below a class": (["cat/{}.jpg", "cat/siamese/s{}.jpg", "dog/{}.jpg"], {"cat", "dog"}),
    "years as classes": (["2020/{}.jpg", "2021/{}.jpg"], {"2020", "2021"}),
    "classes of words that say nothing": (["data/{}.jpg", "images/{}.jpg", "1/{}.jpg"], {"data", "images", "1"}),
}


@pytest.mark.parametrize("name", LEVELS)
def test_the_folder_that_says_something_is_the_class(tmp_path, name):
    patterns, right = LEVELS[name]
    channel = channel_of(tmp_path, *patterns)
    places = read_layout(channel, channel.pictures)
    level, holders = class_level(channel, places), {place.folders for place in places}
    assert {class_of(place, level, holders) for place in places} == right


EITHER = {
    "Office-31": (
        ["amazon/images/bike/{}.jpg", "dslr/images/bike/{}.jpg", "dslr/images/cup/{}.jpg"],
        "amazon, dslr",
        "bike, cup",
    ),
    "PlantVillage": (
        ["color/ill/{}.jpg", "color/well/{}.jpg", "segmented/ill/{}.jpg"],
        "color, segmented",
        "ill, well",
    ),
    "species and breeds": (["cat/siamese/{}.jpg", "dog/pug/{}.jpg"], "cat, dog", "pug, siamese"),
    "of different depths": (
        ["cat/siamese/{}.jpg", "cat/persian/{}.jpg", "dog/{}.jpg"],
        "cat, dog",
        "dog, persian, siamese",
    ),
    "images beside another folder": (
        ["images/a/{}.jpg", "images/b/{}.jpg", "docs/{}.jpg"],
        "docs, images",
        "a, b, docs",
    ),
    "numbers in numbers": (["1/10/{}.jpg", "2/20/{}.jpg"], "1, 2", "10, 20"),
}


@pytest.mark.parametrize("name", EITHER)
def test_where_either_folder_may_be_the_class_the_user_must_say(tmp_path, name):
    patterns, first, last = EITHER[name]
    channel = channel_of(tmp_path, *patterns)
    with pytest.raises(
        DataError, match=rf"the first \({first}\) or the last \({last}\).*class_folder to first or last"
    ):
        class_level(channel, read_layout(channel, channel.pictures))
    for level in ("first", "last"):
        asked = Channel(tmp_path, channel.tree, Asked(class_folder=level))
        assert class_level(asked, read_layout(asked, asked.pictures)) == level


def test_the_classes_of_training_say_which_folder_is_the_class(tmp_path):
    channel = channel_of(tmp_path, "day/cat/{}.jpg", "night/dog/{}.jpg", known=("cat", "dog", "hen"))
    assert class_level(channel, read_layout(channel, channel.pictures)) == "last"
    channel = channel_of(tmp_path, known=("day", "night"))
    assert class_level(channel, read_layout(channel, channel.pictures)) == "first"


def test_a_folder_that_is_no_class_is_named(tmp_path):
    channel = channel_of(tmp_path, "2023/cat/{}.jpg", "2024/dog/{}.jpg")
    class_level(channel, read_layout(channel, channel.pictures))
    assert "the last folder is the class (cat, dog); 2023, 2024 are not used (class_folder=first" in said(channel)
    channel = channel_of(tmp_path / "deeper", "cat/{}.jpg", "cat/siamese/s{}.jpg", "dog/{}.jpg")
    class_level(channel, read_layout(channel, channel.pictures))
    assert "4 pictures in folders below a class folder belong to it (cat/siamese to cat)" in said(channel)
