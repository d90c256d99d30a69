from __future__ import annotations

import struct
from pathlib import Path

import pytest

from fastai_training.data.labels import DataError
from fastai_training.data.record_file import Record, read_records
from tests.fixtures.record_files import MAGIC, packed, record, write_records

JPEG = b"\xff\xd8\xff" + bytes(range(30))


def read(path: Path, content: bytes) -> list[Record]:
    path.write_bytes(content)
    return list(read_records(path))


def piece(kind: int, content: bytes) -> bytes:
    return MAGIC + struct.pack("<I", kind << 29 | len(content)) + content + b"\0" * (-len(content) % 4)


def test_records_have_number_labels_and_bytes_of_any_length(tmp_path):
    rows = [(7 + number, [float(number)], JPEG[: 3 + number]) for number in range(9)]
    write_records(tmp_path / "a.rec", rows)
    assert list(read_records(tmp_path / "a.rec")) == [Record(*row) for row in rows]


def test_several_labels_stand_before_the_picture(tmp_path):
    write_records(tmp_path / "a.rec", [(1, [1.0, 0.0, 3.0], JPEG)])
    assert list(read_records(tmp_path / "a.rec")) == [Record(1, [1.0, 0.0, 3.0], JPEG)]
    one = struct.pack("<IfQQf", 1, 9.0, 5, 0, 2.0) + JPEG  # a list of one label
    assert read(tmp_path / "b.rec", record(one)) == [Record(5, [2.0], JPEG)]


@pytest.mark.parametrize(
    "content", [MAGIC, MAGIC * 3, b"ab" + MAGIC, b"abcd" + MAGIC, b"abcd" + MAGIC + b"ef" + MAGIC + b"g"]
)
def test_a_picture_that_holds_the_magic_number_comes_back_whole(tmp_path, content):
    write_records(tmp_path / "a.rec", [(1, [0.0], content), (2, [1.0], JPEG)])
    assert [one.content for one in read_records(tmp_path / "a.rec")] == [content, JPEG]


def test_pictures_are_known_by_their_first_bytes(tmp_path):
    starts = {b"\xff\xd8\xff": ".jpg", b"\x89PNG": ".png", b"GIF8": ".gif", b"BM": ".bmp", b"RIFF": ".webp"}
    starts |= {b"II*\0": ".tif", b"MM\0*": ".tif", b"\x93NUM": "", b"": ""}
    assert {start: Record(0, [0.0], start).suffix for start in starts} == starts


WHOLE = record(packed(1, [1.0], JPEG))
DAMAGED = {
    "in the header of a record": (WHOLE + MAGIC, "cut short at byte 68"),
    "in a record": (WHOLE + WHOLE[:40], "cut short in the record at byte 68"),
    "in a record of pieces": (WHOLE + piece(1, b"x" * 24), "cut short: its last record has no end"),
    "a middle without a start": (piece(2, b"x" * 24), "a piece of a record is missing"),
    "an end without a start": (WHOLE + piece(3, b"x" * 24), "a piece of a record is missing"),
    "a start in a record": (piece(1, b"x" * 24) + piece(1, b"x") + piece(3, b"x"), "a piece of a record is missing"),
    "a whole record in a record": (piece(1, b"x" * 24) + WHOLE, "a piece of a record is missing"),
    "a kind that there is not": (piece(5, b"x" * 24), "a piece of a record is missing"),
    "another kind of file": (b"hello world, here", "is no RecordIO file, or damaged: at byte 0"),
    "zeros at the end": (WHOLE + bytes(512), "damaged: at byte 68"),
    "too little for a header": (record(b"abc"), "a record of 3 bytes, which is no picture with a label"),
    "fewer labels than it says": (record(struct.pack("<IfQQf", 3, 0.0, 1, 0, 1.0)), "fewer labels than the 3"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_file_is_named_with_the_place(tmp_path, name):
    content, says = DAMAGED[name]
    with pytest.raises(DataError, match=says) as raised:
        read(tmp_path / "a.rec", content)
    assert "a.rec" in str(raised.value)


def test_an_empty_file_has_no_records(tmp_path):
    assert read(tmp_path / "a.rec", b"") == []
