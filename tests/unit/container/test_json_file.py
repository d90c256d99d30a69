from __future__ import annotations

import json
from pathlib import Path

import pytest

from fastai_container.json_file import MAX_DEPTH, JsonError, parse_json, read_object

VALUES = {"epochs": "3", "name": "猫 é"}


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"]
)
def test_every_unicode_encoding_is_read(tmp_path: Path, encoding: str):
    path = tmp_path / "hyperparameters.json"
    path.write_bytes(json.dumps(VALUES, ensure_ascii=False).encode(encoding))
    assert read_object(path) == VALUES


@pytest.mark.parametrize("content", [b"", b" \n", b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff\x00\n", b"null"])
def test_nothing_is_an_empty_object(tmp_path: Path, content: bytes):
    path = tmp_path / "hyperparameters.json"
    path.write_bytes(content)
    assert read_object(path) == {}
    assert read_object(tmp_path / "none.json") == {}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "is not valid JSON"),
        (b'{"a": 1}x', "is not valid JSON .Extra data"),
        (b'{"name": "\xe9"}', "it is not UTF-8 text; save it as UTF-8"),
        (b"[" * 10_000, "nested deeper than 64 levels"),
        (b"[" * 10_000 + b"]" * 10_000, "nested deeper than 64 levels"),
        (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, "nested deeper than 64 levels"),
        (b'{"a":' * 70 + b"1" + b"}" * 70, "nested deeper than 64 levels"),
        (b'{"epochs": "3", "epochs": "4"}', "'epochs' is given twice"),
        (b"[1, 2]", "must hold a JSON object of names and values, it holds a list"),
        (b'"text"', "it holds a text"),
        (b"7", "it holds a number"),
        (b"true", "it holds true or false"),
        (b"1" * 5000, "is not valid JSON"),
    ],
)
def test_what_can_not_be_read_is_one_sentence(tmp_path: Path, content: bytes, message: str):
    path = tmp_path / "hyperparameters.json"
    path.write_bytes(content)
    with pytest.raises(JsonError, match=message) as caught:
        read_object(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_a_folder_is_no_file(tmp_path: Path):
    with pytest.raises(JsonError, match="can't be read: Is a directory"):
        read_object(tmp_path)


def test_depth_is_counted_exactly():
    assert parse_json("[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1), "it") is not None
    with pytest.raises(JsonError):
        parse_json("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), "it")
