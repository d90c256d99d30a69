from __future__ import annotations

import json
import os

import pytest

from fastai_training.labels import DataError, find_examples
from tests.unit.training_data import COLOURS, write_picture, write_pictures


def labels(examples):
    return {item.path.relative_to(examples.root).as_posix(): item.label for item in examples.items}


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


def test_labels_come_from_class_folders(tmp_path):
    for name in ("cat", "dog"):
        write_pictures(tmp_path / name, 1)
    found = find_examples(tmp_path)
    assert found.source == "folders"
    assert labels(found)["cat/red_1.jpg"] == "cat"
    assert found.vocab == ["cat", "dog"]


def test_hidden_files_and_folders_are_no_pictures(tmp_path):
    write_pictures(tmp_path, 2)
    write_picture(tmp_path / "._red_3.jpg", COLOURS["red"])
    write_picture(tmp_path / "__MACOSX" / "red_4.jpg", COLOURS["red"])
    write_picture(tmp_path / ".cache" / "red_5.jpg", COLOURS["red"])
    assert len(find_examples(tmp_path).items) == 6


def test_folders_that_are_a_split_are_refused(tmp_path):
    for name in ("train", "valid"):
        write_pictures(tmp_path / name, 1)
    with pytest.raises(DataError, match="two channels"):
        find_examples(tmp_path)


def test_a_manifest_wins(tmp_path):
    write_pictures(tmp_path / "images", 2)
    rows = ["File,Breed", "red_1.jpg,warm", "images/green_1.jpg,cold", "s3://bucket/some/where/blue_1.jpg,cold"]
    rows += ["gone_1.jpg,warm", "red_2.jpg,"]
    (tmp_path / "annotations.csv").write_text("\n".join(rows) + "\n")
    found = find_examples(tmp_path)
    assert labels(found) == {"images/red_1.jpg": "warm", "images/green_1.jpg": "cold", "images/blue_1.jpg": "cold"}
    assert sorted(found.skipped) == [
        ("gone_1.jpg", "named in annotations.csv but not there"),
        ("red_2.jpg", "no label in annotations.csv"),
    ]


def test_a_manifest_of_json_lines(tmp_path):
    write_pictures(tmp_path, 1)
    rows = [{"source-ref": "s3://b/red_1.jpg", "label": "a"}, {"source-ref": "s3://b/blue_1.jpg", "label": "b"}]
    (tmp_path / "labels.manifest").write_text("\n".join(json.dumps(row) for row in rows))
    assert labels(find_examples(tmp_path)) == {"red_1.jpg": "a", "blue_1.jpg": "b"}


def test_a_label_of_zero_is_a_label(tmp_path):
    write_pictures(tmp_path, 1)
    rows = [{"file": "red_1.jpg", "label": 0}, {"file": "blue_1.jpg", "label": 1}]
    (tmp_path / "labels.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    assert labels(find_examples(tmp_path)) == {"red_1.jpg": "0", "blue_1.jpg": "1"}


def test_a_picture_named_twice_in_a_manifest_counts_once(tmp_path):
    write_pictures(tmp_path, 1)
    (tmp_path / "labels.csv").write_text("file,label\nred_1.jpg,a\nred_1.jpg,a\nred_1.jpg,b\nblue_1.jpg,b\n")
    found = find_examples(tmp_path)
    assert labels(found) == {"red_1.jpg": "a", "blue_1.jpg": "b"}
    assert [why for _, why in found.skipped] == ["named twice in labels.csv"] * 2


def test_the_label_column_can_be_named(tmp_path):
    write_pictures(tmp_path, 1)
    (tmp_path / "labels.csv").write_text("file,label,size\nred_1.jpg,x,big\nblue_1.jpg,x,small\n")
    assert labels(find_examples(tmp_path, "auto", "size")) == {"red_1.jpg": "big", "blue_1.jpg": "small"}
    with pytest.raises(DataError, match="has no column 'colour'"):
        find_examples(tmp_path, "auto", "colour")


@pytest.mark.parametrize(
    ("content", "words"),
    [("file,label\n", "no rows"), ("a,b\n1,2\n", "columns for file and label"), ('{"file": ', "can't be read")],
)
def test_a_bad_manifest_is_told(tmp_path, content, words):
    write_pictures(tmp_path, 1)
    name = "m.jsonl" if content.startswith("{") else "m.csv"
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=words):
        find_examples(tmp_path, "manifest")


def test_a_class_whose_name_is_not_utf8_gets_one_that_is(tmp_path):
    for name in (b"caf\xe9", b"tea"):
        write_pictures(tmp_path / os.fsdecode(name), 1)
    assert find_examples(tmp_path).vocab == ["caf?", "tea"]


def test_an_empty_folder_says_what_a_picture_is(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(DataError, match=r"it holds notes\.txt.*\.jpg"):
        find_examples(tmp_path)


def test_one_class_is_too_few(tmp_path):
    write_pictures(tmp_path, 3, ("red",))
    with pytest.raises(DataError, match="only the class 'red'"):
        find_examples(tmp_path)


def test_names_that_say_nothing_are_refused(tmp_path):
    for number in range(4):
        write_picture(tmp_path / f"IMG{number}.jpg", COLOURS["red"])
    with pytest.raises(DataError, match="can't tell the labels"):
        find_examples(tmp_path)


def test_a_class_that_serving_would_refuse_fails_before_training(tmp_path):
    for name in ("red", "blue"):
        write_picture(tmp_path / f"{name}.jpg", COLOURS[name])
    (tmp_path / "labels.csv").write_text(f"file,label\nred.jpg,red\nblue.jpg,{'b' * 5000}\n")
    with pytest.raises(DataError, match=r"a name of 5,000 characters \('b+\.\.\.\); at most 1,000"):
        find_examples(tmp_path)
    (tmp_path / "labels.csv").write_text(f"file,label\nred.jpg,red\nblue.jpg,{'b' * 1000}\n")
    assert len(find_examples(tmp_path).vocab) == 2
