from __future__ import annotations

from pathlib import Path

import pytest

from fastai_training.data.labels import DataError
from fastai_training.data.readers.lst import number_text, read_list
from fastai_training.data.readers.reader import Asked
from fastai_training.data.sources import find_examples
from tests.fixtures.record_files import write_list
from tests.unit.training_data import write_empty

ROWS = [(n, [n % 2], f"{('cat', 'dog')[n % 2]}/{n // 2}.jpg") for n in range(8)]


def pictures(root: Path) -> Path:
    write_empty(root, "cat/{}.jpg", "dog/{}.jpg")
    return root


def test_a_list_says_which_picture_is_of_which_class(tmp_path):
    write_list(pictures(tmp_path) / "train.lst", ROWS)
    found = find_examples(tmp_path)
    assert (found.source, found.counts()) == ("lst train.lst", {"cat": 4, "dog": 4})
    assert found.class_names == {"0": "cat", "1": "dog"}


def test_what_a_list_may_look_like(tmp_path):
    (tmp_path / "a.lst").write_bytes("\ufeff7\t3.000000\tcat/é 1.jpg\r\n\n8\t0\t dog/2.jpg \n".encode())
    found = read_list(tmp_path / "a.lst")
    assert (found.numbers, found.labels, found.paths) == ([7, 8], [["3"], ["0"]], ["cat/é 1.jpg", "dog/2.jpg"])
    write_list(tmp_path / "b.lst", [(1, [0, 1, 0], "x.jpg")])
    assert read_list(tmp_path / "b.lst").labels == [["0", "1", "0"]]


def test_labels_are_called_as_numbers_are():
    assert [number_text(value) for value in (3.0, -1.0, 0.5, float("nan"))] == ["3", "-1", "0.5", "nan"]


WRONG = {
    "blanks": "0 0 cat/0.jpg",
    "a header": "index\tlabel\tpath",
    "names of classes": "0\tcat\tcat/0.jpg",
    "no number": "0\tcat/0.jpg",
    "a number that is none": "nan\t0\tcat/0.jpg",
    "a number without end": "inf\t0\tcat/0.jpg",
    "text": "pictures of cats",
}


@pytest.mark.parametrize("name", WRONG)
def test_a_line_of_another_kind_is_shown(tmp_path, name):
    (tmp_path / "a.lst").write_text(f"0\t0\tx.jpg\n{WRONG[name]}\n")
    with pytest.raises(
        DataError, match=r"line 2 of the list a\.lst is '.*must be a number, the class index and the path"
    ) as raised:
        read_list(tmp_path / "a.lst")
    assert repr(WRONG[name]) in str(raised.value)


@pytest.mark.parametrize(
    ("content", "says"), [(b"", "is empty"), (b"\n \n", "is empty"), (b"0\t0\t\xe9.jpg", "save it as UTF-8")]
)
def test_a_list_that_says_nothing_is_refused(tmp_path, content, says):
    (tmp_path / "a.lst").write_bytes(content)
    with pytest.raises(DataError, match=says):
        read_list(tmp_path / "a.lst")


@pytest.mark.parametrize("label", [-1, 1.5])
def test_a_label_that_is_no_index_is_refused(tmp_path, label):
    write_list(pictures(tmp_path) / "train.lst", [*ROWS[:7], (7, [label], "dog/3.jpg")])
    with pytest.raises(DataError, match=rf"train\.lst has 1 labels that are no class index.*dog/3\.jpg: {label}"):
        find_examples(tmp_path)


def test_several_labels_are_another_task(tmp_path):
    write_list(pictures(tmp_path) / "train.lst", [(n, [0, 1], name) for n, _, name in ROWS])
    with pytest.raises(
        DataError, match=r"several labels to 8 of 8 pictures \(for example cat/0\.jpg: 0, 1\).*task=multi"
    ):
        find_examples(tmp_path)


def test_paths_that_are_not_there_are_counted_and_named(tmp_path):
    write_list(pictures(tmp_path) / "train.lst", [*ROWS, (8, [0], "cat/8.jpg"), (9, [0], "cat/9.jpg")])
    assert find_examples(tmp_path).skipped == [(f"cat/{n}.jpg", "named in train.lst but not there") for n in (8, 9)]
    write_list(tmp_path / "train.lst", [(n, [n % 2], f"x/y{n}.jpg") for n in range(8)])
    with pytest.raises(
        DataError, match=r"none of the 8 files that train\.lst names .*first is x/y0\.jpg.*looked for the same path"
    ):
        find_examples(tmp_path)


@pytest.mark.parametrize("prefix", ["", "pets_"])  # im2rec's lists have one
def test_lists_of_the_parts_of_a_split_are_read_together(tmp_path, prefix):
    write_list(pictures(tmp_path) / f"{prefix}train.lst", ROWS[:6])
    write_list(tmp_path / f"{prefix}val.lst", ROWS[6:7])  # one class: its name is known by the other list
    found = find_examples(tmp_path)
    assert any(f"{prefix}train.lst (6), {prefix}val.lst (1) are a split" in note.text for note in found.notes)
    assert [item.split for item in found.items] == ["train"] * 6 + ["valid"]
    assert found.items[-1].label == "cat"
    write_list(tmp_path / "old.lst", ROWS)
    with pytest.raises(DataError, match=r"train\.lst is a part of a split by its name, old\.lst is none"):
        find_examples(tmp_path)


def test_of_several_lists_one_is_to_be_left(tmp_path):
    for name in ("new", "old"):
        write_list(pictures(tmp_path) / f"{name}.lst", ROWS)
    with pytest.raises(DataError, match=r"several lists in .*: new\.lst, old\.lst; leave one, or call them train"):
        find_examples(tmp_path)


def test_a_picture_in_both_parts_is_in_the_first_alone(tmp_path):
    write_list(pictures(tmp_path) / "train.lst", ROWS[:6])
    write_list(tmp_path / "val.lst", ROWS[4:])
    found = find_examples(tmp_path)
    assert [item.split for item in found.items] == ["train"] * 6 + ["valid"] * 2
    assert [name for name, why in found.skipped if "twice" in why] == ["cat/2.jpg", "dog/2.jpg"]


def test_a_table_beside_the_list_is_named(tmp_path):
    write_list(pictures(tmp_path) / "train.lst", ROWS)
    (tmp_path / "labels.csv").write_text("file,label\ncat/0.jpg,x\ndog/0.jpg,y\n")
    assert any(
        "1 tables are not used, since labels come from train.lst" in note.text for note in find_examples(tmp_path).notes
    )


def test_a_list_in_a_channel_of_its_own_is_for_the_pictures(tmp_path):
    write_list(tmp_path / "train_lst" / "train.lst", ROWS)
    (tmp_path / "train_lst" / "classes.txt").write_text("tom\nrex\n")
    root = pictures(tmp_path / "train")
    found = find_examples(root, labels=[tmp_path / "train_lst" / "train.lst"])
    assert found.counts() == {"tom": 4, "rex": 4}


def test_without_a_list_it_says_what_one_is(tmp_path):
    with pytest.raises(DataError, match=r"no \.lst file in .*number, class index and path, by tabs"):
        find_examples(pictures(tmp_path), Asked("lst"))
