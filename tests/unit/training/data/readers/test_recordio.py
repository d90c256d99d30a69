from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from fastai_training.data.labels import DataError, Examples
from fastai_training.data.readers import recordio
from fastai_training.data.readers.reader import Asked
from fastai_training.data.sources import find_examples
from tests.fixtures.record_files import write_list, write_records
from tests.unit.training_data import write_empty

CLASSES = ("cat", "dog")


def jpeg(number: int) -> bytes:
    """What begins as a picture does: readers look no further."""
    return b"\xff\xd8\xff" + number.to_bytes(4, "big")


def shard(path: Path, labels: Sequence[float | Sequence[float]] = (0, 1) * 4, first: int = 0) -> Path:
    rows = [
        (first + n, [label] if isinstance(label, int | float) else label, jpeg(first + n))
        for n, label in enumerate(labels)
    ]
    write_records(path, rows)
    return path


def listed(path: Path, labels: Sequence[int] = (0, 1) * 4, first: int = 0) -> None:
    write_list(path, [(first + n, [label], f"{CLASSES[label]}/tom{first + n}.png") for n, label in enumerate(labels)])


def told(found: Examples) -> str:
    return "; ".join(f"{note.text} ({note.example})" for note in found.notes)


def test_pictures_are_unpacked_in_their_order(tmp_path):
    shard(tmp_path / "train.rec")
    found = find_examples(tmp_path)
    assert [(item.path.name, item.label) for item in found.items[:2]] == [("00000000.jpg", "0"), ("00000001.jpg", "1")]
    assert [item.path.read_bytes() for item in found.items] == [jpeg(number) for number in range(8)]
    assert "8 pictures of train.rec unpacked to " in told(found)
    assert "classes are called by their numbers; classes.txt" in told(found)


def test_classes_and_pictures_are_named_by_the_list_beside_the_file(tmp_path):
    shard(tmp_path / "train.rec")
    listed(tmp_path / "train.lst")
    found = find_examples(tmp_path)
    assert found.counts() == {"cat": 4, "dog": 4}
    assert found.items[1].path.name == "00000001_tom1.jpg"
    assert "tables are not used" not in told(found)


@pytest.mark.parametrize("labels", [(1, 0) * 4, (0, 1) * 3])
def test_a_list_of_other_records_is_named_as_not_used(tmp_path, labels):
    shard(tmp_path / "train.rec")
    listed(tmp_path / "train.lst", labels)
    found = find_examples(tmp_path)
    assert found.vocab == ["0", "1"]
    wrong = 8 if labels[0] else 2
    assert f"the list train.lst is not used: {wrong} of 8 records of train.rec are not in it, or have other" in told(
        found
    )


def test_a_list_that_cannot_be_read_is_not_needed(tmp_path):
    shard(tmp_path / "train.rec")
    (tmp_path / "train.lst").write_text("index,label,path\n")
    found = find_examples(tmp_path)
    assert found.vocab == ["0", "1"]
    assert "train.lst is not used: line 1 of the list train.lst is 'index,label,path'" in told(found)
    assert "tables are not used" not in told(found)


def test_a_lists_path_may_be_of_any_kind(tmp_path):
    shard(tmp_path / "train.rec")
    write_list(tmp_path / "train.lst", [(n, [n % 2], f"..\\..\\{'x' * 300}{n}.jpg") for n in range(8)])
    found = find_examples(tmp_path)
    assert len({item.path.parent for item in found.items}) == 1, "nothing is written elsewhere"
    assert all(item.path.is_file() for item in found.items)


def test_shards_are_one_set_though_each_has_its_own_classes(tmp_path):
    shard(tmp_path / "data-0.rec", [0] * 4)
    shard(tmp_path / "data-1.rec", [1] * 4, first=4)
    listed(tmp_path / "data.lst", [0] * 4 + [1] * 4)
    found = find_examples(tmp_path)
    assert found.counts() == {"cat": 4, "dog": 4}
    assert {item.split for item in found.items} == {""}


def test_names_and_order_are_the_same_in_every_process_and_in_a_resumed_job(tmp_path):
    for number in range(3):
        shard(tmp_path / f"data-{number}.rec", first=8 * number)
    first, second = ([item.path for item in find_examples(tmp_path).items] for _ in range(2))
    assert first == sorted(first), "as the split sorts them"
    assert [path.name for path in first] == [path.name for path in second] == [f"{n:08d}.jpg" for n in range(24)]
    assert {path.parent for path in first}.isdisjoint(path.parent for path in second)


@pytest.mark.parametrize("names", [("train_0", "train_1", "val"), ("pets_train_0", "pets_train_1", "pets_val")])
def test_parts_of_a_split_are_known_by_their_names(tmp_path, names):
    for name in names:
        shard(tmp_path / f"{name}.rec")
    found = find_examples(tmp_path)
    assert [item.split for item in found.items] == ["train"] * 16 + ["valid"] * 8
    assert f"the files {names[0]}.rec (8), {names[1]}.rec (8), {names[2]}.rec (8) are a split" in told(found)
    shard(tmp_path / "other.rec")
    with pytest.raises(DataError, match=r"is a part of a split by its name, other\.rec is none"):
        find_examples(tmp_path)


def test_a_class_is_called_as_training_calls_it(tmp_path):
    shard(tmp_path / "val.rec", [1, 1])
    names = {"0": "cat", "1": "dog"}
    assert find_examples(tmp_path, known=CLASSES, class_names=names).counts() == {"dog": 2}


def test_what_lies_beside_the_records_is_named(tmp_path):
    shard(tmp_path / "train.rec")
    write_empty(tmp_path, "cat/{}.jpg", "train.idx")
    (tmp_path / "labels.csv").write_text("file,label\n0.jpg,cat\n")
    listed(tmp_path / "val.lst")
    said = told(find_examples(tmp_path))
    assert "4 picture files beside the records are not used (cat/0.jpg)" in said
    assert "2 tables are not used, since labels come from the records (labels.csv, val.lst)" in said
    assert "1 .idx files are not used" in said


def test_a_record_without_a_picture_is_left_out_and_a_file_of_them_is_refused(tmp_path):
    rows = [(n, [n % 2], b"\x93NUMPY" if n == 3 else jpeg(n)) for n in range(8)]
    write_records(tmp_path / "train.rec", rows)
    assert find_examples(tmp_path).skipped == [("train.rec, record 3", recordio.NO_PICTURE)]
    write_records(tmp_path / "train.rec", [(0, [0], b"\x93NUMPY"), (1, [1], b"\x93NUMPY")])
    with pytest.raises(DataError, match=r"train\.rec holds 2 records, and no picture in a format.*JPEG or PNG"):
        find_examples(tmp_path)
    (tmp_path / "train.rec").write_bytes(b"")
    with pytest.raises(DataError, match=r"train\.rec holds no records"):
        find_examples(tmp_path)


@pytest.mark.parametrize("label", [-1, 0.5, float("nan"), float("inf")])
def test_a_label_that_is_no_index_is_refused(tmp_path, label):
    shard(tmp_path / "train.rec", [0, 1, label, 1])
    with pytest.raises(DataError, match=rf"train\.rec has 1 labels that are no class index.*00000002\.jpg: {label:g}"):
        find_examples(tmp_path)


def test_several_labels_a_picture_are_another_task(tmp_path):
    shard(tmp_path / "train.rec", [(0, 1), (1, 0), (1, 1)])
    with pytest.raises(DataError, match=r"several labels to 3 of 3 pictures.*task=multi"):
        find_examples(tmp_path)


def test_a_full_disk_is_named_before_anything_is_written(tmp_path, monkeypatch):
    shard(tmp_path / "train.rec")
    monkeypatch.setattr(recordio, "_SPARE", 1 << 62)
    with pytest.raises(
        DataError, match=r"train\.rec .* is unpacked to .* MB are free; give the instance a larger volume"
    ):
        find_examples(tmp_path)


def test_records_are_named_where_labels_come_from_elsewhere(tmp_path):
    shard(tmp_path / "train.rec")
    write_empty(tmp_path, "cat/{}.jpg", "dog/{}.jpg")
    found = find_examples(tmp_path, Asked("folders"))
    assert found.vocab == ["cat", "dog"]
    assert "1 RecordIO files are not used, since labels come from folders (train.rec)" in told(found)
