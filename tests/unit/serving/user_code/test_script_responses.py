from __future__ import annotations

import datetime
import io
import json
from pathlib import Path

import numpy as np
import pytest

from fastai_serving.responses import RequestError, error_response
from fastai_serving.user_code.script_responses import error_of_script, response_from_body, response_from_prediction


class Tensor:
    """Something with tolist, as torch's tensors and pandas's columns have."""

    def __init__(self, value):
        self.value = value

    def tolist(self):
        return self.value


def pieces(*values):
    yield from values


async def later(*values):
    for value in values:
        yield value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"a": Path("b")}, {"a": "b"}),
        ("cat", "cat"),
        (None, None),
        (3, 3),
        (True, True),
        (np.float32(0.5), 0.5),
        ({"p": np.float32(0.5), "i": np.int64(3)}, {"p": 0.5, "i": 3}),
        (np.arange(4).reshape(2, 2), [[0, 1], [2, 3]]),
        (("tabby", "cat"), ["tabby", "cat"]),
        ([Tensor([1, 2]), (Tensor(3),)], [[1, 2], [3]]),
        ({"when": datetime.date(2026, 1, 2)}, {"when": "2026-01-02"}),
        (pieces(1, {"a": 2}), [1, {"a": 2}]),
        (pieces("a", "b"), "ab"),
        (later(1, 2), [1, 2]),
        (pieces(), []),
        ({"n": "NaN"}, {"n": "NaN"}),
        ("\ud800", "\ud800"),
        (range(3), [0, 1, 2]),
    ],
)
def test_predictions_as_json(value, expected):
    response = response_from_prediction(value, "")
    assert (json.loads(response.body), response.content_type) == (expected, "application/json")


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (object(), "type object"),
        ({"a": [object()]}, "type object"),
        (float("nan"), "NaN"),
        ([1, float("-inf")], "NaN or Infinity"),
        (np.array([np.nan]), "NaN"),
        ({"p": np.float32("nan")}, "NaN"),
        (Tensor([float("inf")]), "NaN"),
        ({b"a": 1}, "keys must be"),
        ({"a": b"x"}, "type bytes"),
        (lambda: 0, "type function"),
        (1 + 2j, "type complex"),
    ],
)
def test_what_json_cannot_hold_is_refused(value, reason: str):
    for made in (response_from_prediction, response_from_body):
        with pytest.raises(RequestError, match=reason) as caught:
            made(value, "application/json")
        assert (caught.value.status, caught.value.code) == (500, "script_error")


def test_a_list_that_holds_itself():
    value: list = []
    value.append(value)
    with pytest.raises(RequestError, match="holds itself"):
        response_from_prediction(value, "")


@pytest.mark.parametrize(
    ("accept", "kind", "body"),
    [
        ("text/csv", "text/csv; charset=utf-8", b"1.5,2.0\n3.0,4.0\n"),
        ("text/*", "text/csv; charset=utf-8", b"1.5,2.0\n3.0,4.0\n"),
        ("application/jsonlines", "application/jsonlines", b"[[1.5, 2.0], [3.0, 4.0]]\n"),
        ("text/csv;q=0.1, application/json", "application/json", b"[[1.5, 2.0], [3.0, 4.0]]"),
        ("image/png, */*", "application/json", b"[[1.5, 2.0], [3.0, 4.0]]"),
    ],
)
def test_arrays_in_the_format_that_is_accepted(accept: str, kind: str, body: bytes):
    array = np.array([[1.5, 2], [3, 4]], dtype=np.float32)
    for value in (array, array.tolist(), Tensor(array.tolist())):
        response = response_from_prediction(value, accept)
        assert (response.content_type, response.body) == (kind, body)


def test_npy_and_what_has_no_such_format():
    array = np.array([[1.5, 2], [3, 4]], dtype=np.float32)
    response = response_from_prediction(array, "application/x-npy")
    assert response.content_type == "application/x-npy"
    assert np.load(io.BytesIO(response.body)).tolist() == array.tolist()
    assert response_from_prediction({"a": 1}, "text/csv, application/json;q=0.5").content_type == "application/json"
    for accept in ("text/csv", "image/png", "\xe9", "application/json;q=0"):
        with pytest.raises(RequestError) as caught:
            response_from_prediction({"a": 1}, accept)
        assert caught.value.status == 406


def test_the_default_stands_for_an_accept_that_names_nothing():
    assert response_from_prediction([1], "", "text/csv").content_type.startswith("text/csv")
    assert response_from_prediction([1], "*/*", "text/csv").content_type.startswith("text/csv")
    assert response_from_prediction([1], "image/png, */*;q=0.5", "text/csv").content_type.startswith("text/csv")


@pytest.mark.parametrize(
    ("result", "accept", "kind", "body"),
    [
        (("x", "text/plain"), "application/json", "text/plain", b"x"),
        ((b"\xff", "image/jpeg"), "", "image/jpeg", b"\xff"),
        (({"a": 1}, "application/vnd.mine+json"), "", "application/vnd.mine+json", b'{"a": 1}'),
        (("a;b", "text/csv; header=present"), "", "text/csv; header=present", b"a;b"),
        ((np.array([1, 2]), "text/csv"), "", "text/csv", b"1\n2\n"),
        ((pieces(b"a", b"b"), "text/plain"), "", "text/plain", b"ab"),
        ((later("a", "b"), None), "text/plain", "text/plain", b"ab"),
        (('{"a": 1}', None), "", "application/json", b'{"a": 1}'),
        ('{"a": 1}', "application/json, text/plain, */*", "application/json", b'{"a": 1}'),
        ("cat", "", "text/plain; charset=utf-8", b"cat"),
        ("cat", "text/html", "text/html", b"cat"),
        ("cat", "application/json;\xe9", "text/plain; charset=utf-8", b"cat"),
        (b"\x89PNG", "*/*", "application/octet-stream", b"\x89PNG"),
        (memoryview(b"[1]"), "", "application/json", b"[1]"),
        ({"a": 1}, "text/plain", "application/json", b'{"a": 1}'),
        ([1, 2], "text/csv", "text/csv; charset=utf-8", b"1\n2\n"),
        (('{"a": "NaN"}', "application/json"), "", "application/json", b'{"a": "NaN"}'),
        ((1.0, 2.0), "", "application/json", b"[1.0, 2.0]"),
        (("[1]", "application/json, */*"), "application/json, */*", "application/json", b"[1]"),
        (("a", "Text/X; a=b"), "Text/X; a=b", "Text/X; a=b", b"a"),
        (("a", "text/html;q=0.9, text/x"), "text/html;q=0.9, text/x", "text/x", b"a"),
        (("a", "text/*"), "text/*", "text/plain; charset=utf-8", b"a"),
    ],
)
def test_bodies_keep_their_content_type(result, accept: str, kind: str, body: bytes):
    response = response_from_body(result, accept)
    assert (response.content_type, response.body) == (kind, body)


@pytest.mark.parametrize(
    "result",
    [
        (json.dumps(float("nan")), "application/json"),
        json.dumps({"a": [float("inf")]}),
        b'{"a": -Infinity}',
        ("x", "text/plain\r\nX-Evil: 1"),
        ("x", "tëxt/plain"),
        ("x", "a" * 5000),
        ("x", ""),
        "\ud800",
        None,
        (None, "text/plain"),
    ],
)
def test_bodies_that_cannot_be_sent(result):
    with pytest.raises(RequestError) as caught:
        response_from_body(result, "application/json")
    assert (caught.value.status, caught.value.code) == (500, "script_error")


class TeapotError(Exception):
    status_code = 418


class SilentError(Exception):
    def __str__(self) -> str:
        raise ValueError

    @property
    def status_code(self) -> int:
        raise ValueError


def with_status(value) -> Exception:
    error = RuntimeError("odd")
    error.status_code = value
    return error


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (TeapotError("short"), 418, "short"),
        (KeyError("x"), 500, "'x'"),
        (with_status(200), 500, "odd"),
        (with_status(True), 500, "odd"),
        (with_status("404"), 500, "odd"),
        (with_status(499), 499, "odd"),
        (SilentError(), 500, "SilentError"),
        (SystemExit(3), 500, "SystemExit: 3"),
        (KeyboardInterrupt(), 500, "KeyboardInterrupt"),
        (GeneratorExit(), 500, "GeneratorExit"),
        (ValueError("\ud800"), 500, "?"),
        (ValueError(), 500, "ValueError"),
    ],
)
def test_errors_keep_their_status(error: BaseException, status: int, message: str):
    told = error_of_script(error)
    assert (told.status, told.code) == (status, "script_error")
    assert str(told).startswith(message)


def test_a_long_error_is_cut():
    assert len(str(error_of_script(ValueError("x" * 50_000_000)))) < 2100


def test_an_exception_of_any_text_can_be_sent():
    response = error_response(error_of_script(Exception("\ud800" * 5000)))
    assert json.loads(response.body)["error"]["message"] == "?" * 1000
