"""multi-model-server calls the handler: what clients and scripts say comes whole out of its codec, whatever it is."""

from __future__ import annotations

import json
import struct
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mms.context import Context, RequestProcessor
from mms.protocol.otf_message_handler import create_predict_response

from fastai_serving.environment import WorkerSettings
from fastai_serving.responses import INTERNAL, JSON, Response
from fastai_serving.user_code.hooks import Hook, Hooks
from fastai_serving.worker import handler
from fastai_serving.worker.request import CUSTOM_ATTRIBUTES, REQUEST_ID
from fastai_serving.worker.service import Service
from fastai_serving.worker.wire import MAX_HEADER, phrase

SETTINGS = WorkerSettings(1, JSON, 10_000, 4, max_response_bytes=1_000_000)


def parsed(message: bytes) -> list[tuple[str, int, str, dict[str, str], bytes]]:
    """The answers of a message of the protocol, as the front end reads it: content type, status, phrase, headers, body.

    Raises when a length is wrong.
    """
    place = 0

    def number() -> int:
        nonlocal place
        place += 4
        return struct.unpack("!i", message[place - 4 : place])[0]

    def text() -> bytes:
        nonlocal place
        length = number()
        assert 0 <= length <= len(message) - place
        place += length
        return bytes(message[place - length : place])

    assert number() == 200, text()
    text()
    answers = []
    while True:
        length = number()
        if length == -1:
            break
        place += length
        kind, status, words = text().decode(), number(), text().decode()
        headers = {text().decode(): text().decode() for _ in range(number())}
        answers.append((kind, status, words, headers, text()))
    assert place == len(message)
    return answers


def ask(monkeypatch: pytest.MonkeyPatch, respond: Any, *headers: dict[str, str]) -> list[Any]:
    """What the front end gets when a batch of requests with ``headers`` goes to ``respond`` (or to hooks)."""
    if isinstance(respond, Hooks):
        service = Service(Path("/nowhere"), SETTINGS, hooks=respond)
    else:
        service = types.SimpleNamespace(settings=SETTINGS, respond=respond)  # type: ignore[assignment]
    monkeypatch.setattr(handler, "_service", service)
    context = Context("model", "", {}, 8, None, "1")
    context.request_ids = {index: f"id {index}" for index in range(len(headers))}
    context.request_processor = [RequestProcessor(dict(one)) for one in headers]
    bodies = handler.handle([{"body": bytearray(b"{}")} for _ in headers], context)
    return parsed(create_predict_response(bodies, context.request_ids, "fine", 200, context=context))


def script(function: Any) -> Hooks:
    return Hooks(
        transform_fn=Hook(lambda model, data, kind, accept: function()), model_fn=Hook(lambda folder: object())
    )


EVERY_BYTE = [chr(number) for number in range(256)]


@pytest.mark.parametrize("name", ["accept", "content-type", CUSTOM_ATTRIBUTES, REQUEST_ID, handler.BUSY])
def test_no_byte_of_a_header_breaks_the_protocol(monkeypatch, name):
    forms = ("{}", "application/json;{}", "text/{}csv")
    values = [form.format(character) for character in EVERY_BYTE for form in forms]
    for answer in ("text", {"a": 1}, b"bytes"):
        found = ask(monkeypatch, script(lambda answer=answer: answer), *({name: value} for value in values))
        assert len(found) == len(values)
        for value, (kind, status, words, headers, body) in zip(values, found, strict=True):
            assert (status, words, headers[handler.MARK]) == (200, "OK", "1"), value
            assert body in (b"text", b'{"a": 1}', b"bytes")
            assert kind.isascii()
            assert kind.isprintable()


def test_a_content_type_that_the_script_says_is_kept_whatever_the_client_wishes(monkeypatch):
    hooks = script(lambda: ("x", "application/json"))
    found = ask(monkeypatch, hooks, {"accept": "text/csv"}, {"accept": "application/json"}, {}, {"accept": "*/*"})
    assert [kind for kind, *_ in found] == ["application/json"] * 4


@pytest.mark.parametrize(
    "kind",
    ["a/b\r\nX-Evil: 1", "a/b\n", "text/é", "\x00", "\x7f", "", "  ", "\ud800", "a" * (MAX_HEADER + 1), None, 3],
)
def test_a_content_type_of_a_script_that_no_header_can_hold_is_an_error_that_says_so(monkeypatch, kind):
    odd = Service(Path("/nowhere"), SETTINGS, hooks=script(lambda: "x"))
    monkeypatch.setattr(odd.model, "respond", lambda request: Response(b"x", kind))
    found = ask(monkeypatch, odd.respond, {}, {"accept": "text/csv"})
    for content_type, status, words, _, body in found:
        assert (content_type, status, words) == (JSON, 500, "Internal Server Error")
        error = json.loads(body)["error"]
        assert error["code"] == "script_error"
        assert "content type" in error["message"]
        assert "printable ASCII" in error["message"]


@pytest.mark.parametrize(
    "answer",
    [
        Response(b"", headers={"x": "a\r\nb: c"}),
        Response(b"", headers={"x\n": "a"}),
        Response(b"", headers={"x": "é"}),
        Response(b"", headers={"x": None}),
        Response(b"", status=700),
        Response(b"", status="200"),
        Response("text"),
        Response(None),
        Response(b"x" * 1_000_001),
        None,
    ],
)
def test_one_answer_that_cannot_be_sent_is_one_error(monkeypatch, answer):
    responses = [Response(b"{}"), answer, Response(b"[]", status=200)]
    found = ask(monkeypatch, lambda requests, busy: responses, {}, {}, {})
    assert [status for _, status, *_ in found][::2] == [200, 200]
    assert [body for *_, body in found][::2] == [b"{}", b"[]"]
    assert found[1][1] in (500, 507)
    assert set(json.loads(found[1][4])) == {"error"}


def test_an_answer_too_large_says_how_large(monkeypatch):
    kind, status, _, _, body = ask(monkeypatch, script(lambda: b"x" * 100_000_000), {"accept": "text/plain"})[0]
    assert (kind, status) == (JSON, 507)
    assert json.loads(body)["error"] == {
        "code": "answer_too_large",
        "message": "the model's answer has 100,000,000 bytes; at most 1,000,000 can be sent",
    }


def test_a_service_that_fails_is_an_error_for_each(monkeypatch):
    def fail(requests, busy):
        raise RuntimeError("no")

    for answers in (fail, lambda requests, busy: []):
        found = ask(monkeypatch, answers, {}, {})
        assert [(status, json.loads(body)["error"]["code"]) for _, status, _, _, body in found] == [
            (500, INTERNAL.code)
        ] * 2


def raising(error: BaseException) -> Any:
    def run() -> None:
        raise error

    return run


class UnspeakableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


class GoingError(Exception):
    def __str__(self) -> str:
        raise SystemExit


class TrapError(Exception):
    @property
    def status_code(self) -> int:
        raise ValueError("not yet")

    @property
    def message(self) -> str:
        raise KeyError("gone")


def with_status(status: Any, message: Any = "odd") -> Exception:
    error = Exception("odd")
    error.status_code, error.message = status, message  # type: ignore[attr-defined]
    return error


def nested(depth: int) -> Exception:
    error = Exception("innermost")
    for number in range(depth):
        outer = Exception(f"level {number}")
        outer.__cause__ = error
        error = outer
    return error


def exceptions() -> Iterator[tuple[BaseException, int, str]]:
    """Exceptions of scripts, the status that each gets, and how its message begins."""
    yield with_status(418), 418, "odd"
    for status in (499, 599, 470):
        yield with_status(status), status, "odd"
    for status in (True, 0, 200, 399, 600, 10**300, -1, "499", 499.0, None, [499], float("nan")):
        yield with_status(status), 500, "odd"
    yield with_status(499, message=["a", "list"]), 499, "['a', 'list']"
    yield with_status(499, message="\r\n\x00\ud800é"), 499, "\x00?é"
    yield Exception("x" * 50_000_000), 500, "x" * 1000
    yield with_status(499, "é" * 50_000_000), 499, "é" * 1000
    yield UnspeakableError(), 500, "UnspeakableError"
    yield GoingError(), 500, "GoingError"
    yield TrapError("trapped"), 500, "trapped"
    yield nested(5000), 500, "level 4999"
    yield Exception(), 500, "Exception"
    yield RecursionError("deep"), 500, "deep"


@pytest.mark.parametrize(("error", "status", "words"), list(exceptions()), ids=lambda value: str(type(value).__name__))
def test_a_scripts_exception_is_one_bounded_error(monkeypatch, caplog, error, status, words):
    asked: list[int] = []

    def run() -> str:
        asked.append(1)
        return raising(error)() if len(asked) == 2 else "good"

    found = ask(monkeypatch, script(run), {}, {}, {})
    assert [(code, body) for _, code, _, _, body in found][::2] == [(200, b"good")] * 2
    kind, code, reason, _, body = found[1]
    assert (kind, code) == (JSON, status)
    assert reason == phrase(status)
    told = json.loads(body)["error"]
    assert told["code"] == "script_error"
    assert told["message"].startswith(words)
    assert len(body) < 3000
