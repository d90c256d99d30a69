from __future__ import annotations

import json

import pytest

from fastai_training.data.labels import DataError
from fastai_training.data.readers.reader import Asked
from fastai_training.data.sources import find_examples
from tests.unit.training_data import write_pictures


def labels(examples):
    return {item.path.relative_to(examples.root).as_posix(): item.label for item in examples.items}


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
    assert labels(find_examples(tmp_path, Asked(label_column="size"))) == {"red_1.jpg": "big", "blue_1.jpg": "small"}
    with pytest.raises(DataError, match="has no column 'colour'"):
        find_examples(tmp_path, Asked(label_column="colour"))


@pytest.mark.parametrize(
    ("content", "words"),
    [("file,label\n", "no rows"), ("a,b\n1,2\n", "columns for file and label"), ('{"file": ', "can't be read")],
)
def test_a_bad_manifest_is_told(tmp_path, content, words):
    write_pictures(tmp_path, 1)
    name = "m.jsonl" if content.startswith("{") else "m.csv"
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=words):
        find_examples(tmp_path, Asked("manifest"))


DEEP = "[" * 10_000 + "]" * 10_000


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("labels.jsonl", '{"file": "red_1.jpg", "label": ' + DEEP + "}", ["labels.jsonl", "line 1", "nested too deep"]),
        (
            "labels.jsonl",
            '{"file": "red_1.jpg", "label": ["red", "big"]}',
            ["several labels to 1 of 1", "red, big", "task=multi"],
        ),
        ("labels.jsonl", '{"file": "red_1.jpg", "label": {"name": "red"}}', ["an object as label"]),
        ("labels.jsonl", '{"file": "red_1.jpg", "label": "red"}\n{"file', ["line 2"]),
        ("labels.jsonl", DEEP, ["nested too deep"]),
        ("labels.csv", "file,label\nred_1.jpg," + "x" * 1000, ["label of 1,000 characters", "at most 200"]),
        ("labels.csv", "file,label\nred_1.jpg," + "x" * 200_000, ["labels.csv", "field"]),
        ("labels.csv", "file,label\nred_1.jpg,rot\xe9".encode("latin-1"), ["not UTF-8"]),
    ],
)
def test_a_manifest_of_other_things_is_a_sentence(tmp_path, name, content, words):
    write_pictures(tmp_path, 1)
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError) as raised:
        find_examples(tmp_path, Asked("manifest"))
    for word in words:
        assert word in str(raised.value)
    assert len(str(raised.value)) < 600
    assert str(raised.value).isprintable()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("name", ["labels.csv", "labels.jsonl"])
def test_manifests_with_a_byte_order_mark_are_read(tmp_path, encoding, name):
    write_pictures(tmp_path, 1)
    rows = [("red_1.jpg", "柴犬"), ("blue_1.jpg", "blå")]
    lines = ["file,label", *(",".join(row) for row in rows)]
    if name.endswith("jsonl"):
        lines = [json.dumps({"file": file, "label": label}, ensure_ascii=False) for file, label in rows]
    (tmp_path / name).write_text("\n".join(lines), encoding=encoding)
    assert find_examples(tmp_path).vocab == ["blå", "柴犬"]


def test_absurd_file_names_in_a_manifest_are_left_out(tmp_path):
    write_pictures(tmp_path, 1)
    rows = ["file,label", "red_1.jpg,red", "blue_1.jpg,blue", "x" * 300 + ".jpg,red", "a/" * 50_000 + "b.jpg,red"]
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    found = find_examples(tmp_path)
    assert found.vocab == ["blue", "red"]
    assert [why for _, why in found.skipped] == ["named in labels.csv but not there"] * 2


def test_names_with_line_ends_are_quoted_in_what_is_said(tmp_path):
    write_pictures(tmp_path, 1)
    (tmp_path / "a\nfinal error_rate=0.0.csv").write_text("file,label\nred_1.jpg,red\nblue_1.jpg,blue")
    assert find_examples(tmp_path).source.isprintable()
    (tmp_path / "b\n.csv").write_text("file,label\n")
    notes = find_examples(tmp_path, Asked("manifest")).notes
    assert any("has no rows" in note.text for note in notes)
    assert all(note.text.isprintable() for note in notes)
