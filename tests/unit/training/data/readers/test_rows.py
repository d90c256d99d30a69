from __future__ import annotations

from pathlib import Path

import pytest

from fastai_training.data.labels import DataError, Examples, Note
from fastai_training.data.picture_files import read_tree
from fastai_training.data.readers import rows
from fastai_training.data.readers.reader import Channel
from fastai_training.data.readers.rows import Rows


def channel(root: Path, *names: str) -> Channel:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return Channel(root, read_tree(root))


def build(where: Channel, pairs: list[tuple[str, str]], **more: list) -> Examples:
    return rows.build(where, Rows("t.csv", [file for file, _ in pairs], [label for _, label in pairs], **more), "t")


def labels(examples: Examples) -> dict[str, str]:
    return {item.path.relative_to(examples.root).as_posix(): item.label for item in examples.items}


def said(examples: Examples) -> list[str]:
    return [note.text for note in examples.notes]


def test_what_is_left_out_is_counted(tmp_path):
    where = channel(tmp_path, "a.jpg", "b.jpg", "x/c.jpg", "x/d.jpg")
    found = build(where, [("a.jpg", "1"), ("b.jpg", ""), ("gone.jpg", "1"), ("", "1"), ("a.jpg", "1")])
    assert labels(found) == {"a.jpg": "1"}
    assert found.skipped == [
        ("b.jpg", "no label in t.csv"),
        ("gone.jpg", "named in t.csv but not there"),
        ("row 4", "t.csv names no file there"),
        ("a.jpg", "named twice in t.csv"),
    ]
    assert said(found) == [
        "2 of 5 rows of t.csv name no file of the channel",
        "1 of 5 rows of t.csv have no label, so are not used",
        "2 pictures are not used, since t.csv has no row for them (in x)",
    ]


def test_rows_with_a_fault_are_left_out(tmp_path):
    found = build(channel(tmp_path, "a.jpg", "b.jpg"), [("a.jpg", "1"), ("b.jpg", "")], faults=["unsure", ""])
    assert found.items == []
    assert found.skipped == [("a.jpg", "unsure"), ("b.jpg", "no label in t.csv")]


@pytest.mark.parametrize("blank", [[], [("", "1")]])
def test_a_table_none_of_whose_files_is_there_is_refused(tmp_path, blank):
    where = channel(tmp_path, "a.jpg", "x/1.jpg", "y/1.jpg")
    with pytest.raises(DataError, match=r"none of the 2 files that t\.csv names .*00123: not there.*label_from"):
        build(where, [*blank, ("00123", "1"), ("00124", "1")])
    with pytest.raises(DataError, match=r"1\.jpg: not unique"):
        build(where, [*blank, ("1.jpg", "1")])


def test_a_table_that_names_no_file_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"t\.csv names no file in any of its 1 rows"):
        build(channel(tmp_path, "a.jpg"), [("", "1")])


def test_the_closest_row_has_the_file(tmp_path):
    """The folder cats wasn't uploaded."""
    where = channel(tmp_path, "dogs/1.jpg", "dogs/2.jpg")
    pairs = [("cats/1.jpg", "cat"), ("cats/2.jpg", "cat"), ("dogs/1.jpg", "dog"), ("dogs/2.jpg", "dog")]
    found = build(where, pairs)
    assert labels(found) == {"dogs/1.jpg": "dog", "dogs/2.jpg": "dog"}
    assert found.skipped == [(f"cats/{n}.jpg", "named in t.csv but not there") for n in (1, 2)]


@pytest.mark.parametrize("folder", ["", "images/"])
def test_rows_that_could_mean_one_file_leave_it_out(tmp_path, folder):
    """Files of one name were copied over each other."""
    where = channel(tmp_path, f"{folder}1.jpg", f"{folder}2.jpg")
    found = build(where, [("cats/1.jpg", "cat"), ("dogs/1.jpg", "dog"), ("cats/2.jpg", "cat")])
    assert labels(found) == {f"{folder}2.jpg": "cat"}
    assert [why for _, why in found.skipped] == [f"named in t.csv but {rows.AMBIGUOUS}"] * 2


def test_rows_of_several_paths_with_one_label_are_one_picture(tmp_path):
    where = channel(tmp_path, "images/1.jpg")
    found = build(where, [("/home/bob/images/1.jpg", "a"), ("/home/eve/images/1.jpg", "a"), ("1.jpg", "a")])
    assert labels(found) == {"images/1.jpg": "a"}
    assert [why for _, why in found.skipped] == ["named twice in t.csv"] * 2


def test_pictures_in_rows_with_other_labels_are_several_labels_a_picture(tmp_path):
    where = channel(tmp_path, *(f"{n}.jpg" for n in range(4)))
    pairs = [(f"{n}.jpg", label) for n in range(4) for label in "ab"]
    with pytest.raises(DataError, match=r"4 of 4 pictures in rows of their own several labels .*task=multi"):
        build(where, pairs)


def test_a_few_second_labels_are_told(tmp_path):
    where = channel(tmp_path, *(f"{n}.jpg" for n in range(40)))
    found = build(where, [*((f"{n}.jpg", "ab"[n % 2]) for n in range(40)), ("7.jpg", "a")])
    assert labels(found)["7.jpg"] == "b"
    assert Note("1 pictures have several labels in t.csv, of which the first is taken", "7.jpg: a, b") in found.notes


def test_folders_say_the_split_where_each_picture_lies_in_a_part(tmp_path):
    where = channel(tmp_path, "train/1.jpg", "train/2.jpg", "val/3.jpg")
    found = build(where, [("train/1.jpg", "a"), ("train/2.jpg", "b"), ("val/3.jpg", "a")])
    assert [item.split for item in found.items] == ["train", "train", "valid"]
    assert "split by the folders that the pictures lie in: 2 train, 1 valid" in said(found)
    given = build(where, [("train/1.jpg", "a"), ("val/3.jpg", "a")], splits=["valid", "train"])
    assert [item.split for item in given.items] == ["valid", "train"]


def test_groups_and_splits_stay_with_their_rows(tmp_path):
    where = channel(tmp_path, "1.jpg", "2.jpg")
    found = build(where, [("0.jpg", "a"), ("1.jpg", "a"), ("2.jpg", "b")], groups=["p0", "p1", "p2"])
    assert [(item.path.name, item.group) for item in found.items] == [("1.jpg", "p1"), ("2.jpg", "p2")]


def test_tables_that_nobody_reads_are_named(tmp_path):
    where = channel(tmp_path, "1.jpg", "t.csv", "u.csv", "meta/v.json", "said.csv")
    where.notes.append(Note("said.csv is not used: it is empty"))
    found = build(where, [("1.jpg", "a")], tables=[tmp_path / "t.csv"])
    assert Note("2 tables are not used, since labels come from t.csv", "u.csv, meta/v.json") in found.notes


def test_tables_of_several_parts_are_joined(tmp_path):
    where = channel(tmp_path, "train/1.jpg", "test/1.jpg")
    parts = [
        Rows("m.csv", ["1.jpg"], ["a"], [split], places=[(folder, "")], tables=[tmp_path / folder / "m.csv"])
        for folder, split in (("train", "train"), ("test", "test"))
    ]
    assert rows.joined(where, parts[:1]) is parts[0]
    whole = rows.joined(where, parts)
    assert whole.name == "train/m.csv, test/m.csv"
    assert whole.notes == [Note("the tables are a split: train/m.csv is for train, test/m.csv is for test")]
    found = rows.build(where, whole, "t")
    assert [(item.path.parent.name, item.split) for item in found.items] == [("train", "train"), ("test", "test")]


@pytest.mark.parametrize(
    ("table", "place"),
    [
        ("labels.csv", ("", "")),
        ("train.csv", ("", "train")),
        ("val/labels.csv", ("val", "valid")),
        ("train/test.csv", ("train", "test")),
        ("data/train/meta/m.csv", ("data/train/meta", "train")),
    ],
)
def test_where_a_table_lies_says_its_split(tmp_path, table, place):
    assert rows.place_of(Channel(tmp_path, read_tree(tmp_path)), tmp_path / table) == place


def test_lists_with_one_label_each_are_not_several():
    rows.refuse_several("t.csv", [["a"], [], ["b"]], ["1", "2", "3"])
    with pytest.raises(DataError, match=r"several labels to 1 of 2 pictures \(for example 2: a, b\).*task=multi"):
        rows.refuse_several("t.csv", [["a"], ["a", "b"]], ["1", "2"])
