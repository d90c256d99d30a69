from __future__ import annotations

import pytest

from fastai_training.data.labels import DataError
from fastai_training.data.picture_names import label_of
from fastai_training.data.readers.reader import Asked
from fastai_training.data.sources import find_examples
from tests.unit.training_data import COLOURS, write_empty, write_picture, write_pictures


def test_labels_come_from_names(tmp_path):
    write_pictures(tmp_path, 2)
    write_picture(tmp_path / "american_pit_bull_terrier_12.JPG", COLOURS["red"])
    found = find_examples(tmp_path)
    assert found.source == "names"
    assert found.vocab == ["american_pit_bull_terrier", "blue", "green", "red"]
    assert found.counts()["red"] == 2


def test_a_stray_name_is_left_out_and_listed(tmp_path):
    write_pictures(tmp_path, 5)
    write_picture(tmp_path / "readme.jpg", COLOURS["red"])
    found = find_examples(tmp_path)
    assert len(found.items) == 15
    assert found.skipped == [("readme.jpg", "no label in its name (label_number.jpg)")]


def test_names_that_say_nothing_are_refused(tmp_path):
    for number in range(4):
        write_picture(tmp_path / f"IMG{number}.jpg", COLOURS["red"])
    with pytest.raises(DataError, match="can't tell the labels"):
        find_examples(tmp_path)


LABELS = {
    "shiba_inu_12": "shiba_inu",
    "cat.0": "cat",
    "dog (3)": "dog",
    "tea-7": "tea",
    "cat [tabby] 3": "cat [tabby]",
    "class_1_12": "class_1",
    "cat_2023-01-31": "cat",
    "cat_20230131_235959": "cat",
    "cat_2023-01-31_4": "cat",
    "2023-01-31_cat_4": "cat",
    "n01440764_10026": "n01440764",
    "boeing_747_12": "boeing_747",
    "cat": "",
    "12": "",
    "DSC00012": "",
    "2023-01-31_cat": "",
}


@pytest.mark.parametrize("stem", LABELS)
def test_a_label_is_what_comes_before_the_number_and_the_day(stem):
    assert label_of(stem) == LABELS[stem]


SAY_NOTHING = {
    "Android": "IMG_2023010{}_123.jpg",
    "Pixel": "PXL_20230101_12345678{}.jpg",
    "a camera": "DSC_00{}.JPG",
    "a camera without a blank": "DSC0001{}.JPG",
    "Panasonic": "P100{}.JPG",
    "WhatsApp": "WhatsApp Image 2023-01-01 at 12.00.0{}.jpeg",
    "screenshots": "Screenshot 2023-01-0{} at 12.00.00.png",
    "Caltech's": "image_000{}.jpg",
    "numbers": "{}.jpg",
    "UUIDs": "{}8197b07-6d07-4dd5-a157-000000000001.jpg",
    "numbered hashes": "02e74f1{}_7.jpg",
    "frames of videos": "video{}_frame_1.jpg",
    "patients": "patient00{}_1.jpg",
    "days first": "2023-01-0{}.jpg",
}


@pytest.mark.parametrize("name", SAY_NOTHING)
def test_names_of_cameras_days_and_patients_are_no_labels(tmp_path, name):
    write_empty(tmp_path, SAY_NOTHING[name], each=10)
    with pytest.raises(DataError, match=r"can't tell the labels: .*add a manifest"):
        find_examples(tmp_path)


def test_frames_of_several_videos_are_no_classes_though_each_has_many(tmp_path):
    write_empty(tmp_path, "video0_frame_{}.jpg", "video1_frame_{}.jpg", "video2_frame_{}.jpg")
    with pytest.raises(DataError, match=r"differs by numbers only \(video0_frame.*label_from=names takes them"):
        find_examples(tmp_path)
    assert find_examples(tmp_path, Asked("names")).vocab == ["video0_frame", "video1_frame", "video2_frame"]


def test_numbers_of_classes_are_classes(tmp_path):
    write_empty(tmp_path, "class1_{}.jpg", "class2_{}.jpg", "class3_{}.jpg")
    assert find_examples(tmp_path).vocab == ["class1", "class2", "class3"]
    write_empty(tmp_path / "demo", *(f"digit_{number}_{{:04d}}.jpg" for number in range(10)))
    assert len(find_examples(tmp_path / "demo").vocab) == 10


def test_a_cameras_name_among_others_is_left_out(tmp_path):
    write_empty(tmp_path, "cat_{}.jpg", "dog_{}.jpg", each=12)
    write_empty(tmp_path, "IMG_1.jpg")
    found = find_examples(tmp_path)
    assert found.vocab == ["cat", "dog"]
    assert found.skipped == [("IMG_1.jpg", "no label in its name (label_number.jpg)")]


def test_names_of_one_class_are_too_few(tmp_path):
    write_empty(tmp_path, "images/cat_{}.jpg")
    with pytest.raises(DataError, match="only the class 'cat'"):
        find_examples(tmp_path)


@pytest.mark.parametrize("unlabelled", ["test1/{}.jpg", "test/IMG_{}.jpg"])
def test_names_in_the_parts_of_a_split_and_unlabelled_pictures_for_testing(tmp_path, unlabelled):
    write_empty(tmp_path, "train/cat.{}.jpg", "train/dog.{}.jpg", unlabelled)
    found = find_examples(tmp_path)
    assert (found.source, found.counts(), found.skipped) == ("names", {"cat": 4, "dog": 4}, [])
    assert {item.split for item in found.items} == {"train"}
    assert any(note.text.startswith("4 pictures of the part for testing are not used") for note in found.notes)


def test_classes_of_one_picture_are_read_where_they_are_few_or_known(tmp_path):
    write_empty(tmp_path, "red_1.jpg", "green_1.jpg", "blue_1.jpg")
    assert find_examples(tmp_path).vocab == ["blue", "green", "red"]
    names = [f"{letter}{letter}" for letter in "abcdefghij"]
    write_empty(tmp_path / "more", *(f"{name}_1.jpg" for name in names))
    with pytest.raises(DataError, match=r"most of what names begin with \(aa, bb, cc\) is there once"):
        find_examples(tmp_path / "more")
    assert find_examples(tmp_path / "more", known=names).vocab == names


def test_masks_are_no_pictures_where_names_are_asked_for(tmp_path):
    write_empty(tmp_path, "images/pug_{}.jpg", "images/beagle_{}.jpg", "trimaps/pug_{}.png", "trimaps/beagle_{}.png")
    assert find_examples(tmp_path, Asked("names")).counts() == {"pug": 4, "beagle": 4}
