from __future__ import annotations

import os

import pytest

from fastai_training.data.labels import DataError
from fastai_training.data.readers.reader import Asked
from fastai_training.data.sources import find_examples
from tests.unit.training_data import COLOURS, write_empty, write_picture, write_pictures


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


def labels(root, *patterns: str, asked: Asked = Asked("folders"), **others) -> dict[str, int]:  # noqa: B008 - frozen
    write_empty(root, *patterns)
    return dict(find_examples(root, asked, **others).counts())


WHOLE = {
    "Caltech-101": ([f"101_ObjectCategories/{name}/image_{{}}.jpg" for name in ("ant", "bass")], {"ant": 4, "bass": 4}),
    "imagenette": (
        [
            f"imagenette2/{part}/{name}/{name}_{{}}.JPEG"
            for part in ("train", "val")
            for name in ("n01440764", "n02102040")
        ],
        {"n01440764": 8, "n02102040": 8},
    ),
    "face masks": (
        ["data/with_mask/with_mask_{}.jpg", "data/without_mask/{}.png"],
        {"with_mask": 4, "without_mask": 4},
    ),
    "COVID radiography": (
        [f"{name}/{what}/{name}-{{}}.png" for name in ("COVID", "Normal") for what in ("images", "masks")],
        {"COVID": 4, "Normal": 4},
    ),
    "brackets, dots, dashes": (
        ["cat [tabby]/{}.jpg", "mr. cat/{}.jpg", "a-b/{}.jpg"],
        {"cat [tabby]": 4, "mr. cat": 4, "a-b": 4},
    ),
    "names of two kinds in folders": (["a/cat_{}.jpg", "b/dog_{}.jpg"], {"a": 4, "b": 4}),
    "copies in both parts": (["train/a/{}.jpg", "train/b/{}.jpg", "val/a/{}.jpg"], {"a": 8, "b": 4}),
}


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("label_from", ["auto", "folders"])
def test_data_sets_as_they_are_downloaded(tmp_path, name, label_from):
    patterns, right = WHOLE[name]
    assert labels(tmp_path, *patterns, asked=Asked(label_from)) == right


def test_unlabelled_pictures_for_testing_are_named_and_others_are_listed(tmp_path):
    write_empty(tmp_path, "train/cat/{}.jpg", "train/dog/{}.jpg", "val/{}.jpg", "test/{}.jpg")
    found = find_examples(tmp_path)
    assert found.counts() == {"cat": 4, "dog": 4}
    assert [name for name, why in found.skipped if why == "not in a class folder"] == [f"val/{n}.jpg" for n in range(4)]
    assert any(note.text == "4 pictures in test are not used: they are in no class folder" for note in found.notes)


def test_a_channel_of_one_class_is_read_where_training_has_it(tmp_path):
    known = ("cat", "dog")
    for label_from in ("auto", "folders"):
        assert labels(tmp_path, "cat/{}.jpg", asked=Asked(label_from), known=known) == {"cat": 4}
    assert labels(tmp_path / "deeper", "set/cat/2023/{}.jpg", asked=Asked(), known=known) == {"cat": 4}
    with pytest.raises(DataError, match=r"4 of 4 names.*all lie in one folder, hen"):
        labels(tmp_path / "other", "hen/{}.jpg", asked=Asked(), known=known)


def test_more_pictures_outside_of_class_folders_than_in_them_have_no_labels(tmp_path):
    with pytest.raises(DataError, match="can't tell the labels"):
        labels(tmp_path, "a/{}.jpg", "b/{}.jpg", *(f"loose{n}{{}}.jpg" for n in range(3)), asked=Asked())


def test_masks_are_no_pictures_where_folders_are_asked_for_either(tmp_path):
    write_empty(tmp_path, "images/cat/c{}.jpg", "images/dog/d{}.jpg", "masks/cat/c{}.png", "masks/dog/d{}.png")
    for asked in (Asked(), Asked("folders")):
        found = find_examples(tmp_path, asked)
        assert found.counts() == {"cat": 4, "dog": 4}
        assert sum("as masks have" in note.text for note in found.notes) == 2


def test_masks_alone_say_why_there_is_nothing_to_train_on(tmp_path):
    write_empty(tmp_path, "images/scene_{}.png", "labels/scene_{}_P.png")
    with pytest.raises(DataError, match=r"only the class 'scene'.*4 files in labels are not used.*masks"):
        find_examples(tmp_path)


COLLECTIONS = (
    ["batch_1/{}.jpg", "batch_2/{}.jpg"],
    ["DCIM/100CANON/IMG_{}.JPG", "DCIM/101CANON/IMG_{}.JPG"],
    ["2023-01-30/{}.jpg", "2023-01-31/{}.jpg"],
    ["Takeout/Photos from 2022/{}.jpg", "Takeout/Photos from 2023/{}.jpg"],
    ["patient1/{}.jpg", "patient2/{}.jpg"],
)


@pytest.mark.parametrize("patterns", COLLECTIONS)
def test_parts_of_a_collection_are_classes_only_if_the_user_says_so(tmp_path, patterns):
    with pytest.raises(DataError, match=r"are called as parts of a collection are.*set label_from=folders"):
        labels(tmp_path, *patterns, asked=Asked())
    found = labels(tmp_path)
    assert list(found.values()) == [4, 4]
    assert labels(tmp_path, asked=Asked(), known=tuple(found)) == found, "training's user has said so"


BY_NAME = (
    ["images/pug_{}.jpg", "images/tabby_{}.jpg", "docs/pug_1{}.jpg"],
    ["part1/pug_{}.jpg", "part1/tabby_{}.jpg", "part2/pug_1{}.jpg"],
    ["2022/pug_{}.jpg", "2022/tabby_{}.jpg", "2023/pug_1{}.jpg"],
    ["images/pug_{}.jpg", "images/tabby_{}.jpg", "masks/pug_{}.jpg", "masks/tabby_{}.jpg"],
)


@pytest.mark.parametrize("patterns", BY_NAME)
def test_folders_that_say_nothing_and_names_that_do_are_asked_for(tmp_path, patterns):
    with pytest.raises(DataError, match=r"pictures in \w+ begin with \(pug, tabby\): set label_from to"):
        labels(tmp_path, *patterns, asked=Asked())
    assert set(labels(tmp_path, asked=Asked("names"))) == {"pug", "tabby"}
    assert len(labels(tmp_path)) == 2


def test_numbers_and_words_of_collections_are_classes_like_others(tmp_path):
    found = labels(tmp_path, "0/a_{}.jpg", "0/b_{}.jpg", "1/a_{}.jpg", asked=Asked())
    assert found == {"0": 8, "1": 4}
    assert labels(tmp_path / "words", "data/{}.jpg", "images/{}.jpg", asked=Asked()) == {"data": 4, "images": 4}
    assert labels(tmp_path / "years", "2020/{}.jpg", "2021/{}.jpg", asked=Asked()) == {"2020": 4, "2021": 4}
