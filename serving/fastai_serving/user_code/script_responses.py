"""What a user's script returned or raised, as a response: bodies as they are, all else in a format that can hold it.

JSON is always valid JSON: NaN and Infinity, which it has no words for, are errors, and nothing is written by its
Python name.
"""

from __future__ import annotations

import csv
import datetime
import io
import json
import os
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence, Set
from typing import Any

import numpy as np

from fastai_serving.errors import ErrorCode
from fastai_serving.media_types import items, media_type, quality
from fastai_serving.responses import CSV, JSON, JSON_LINES, MAX_MESSAGE, RequestError, Response
from fastai_serving.user_code.decoders import NPY
from fastai_serving.user_code.hints import hint
from fastai_serving.user_code.hooks import collected

TEXT, BYTES = "text/plain; charset=utf-8", "application/octet-stream"
#: A text of more characters is taken for JSON by its first.
_MAX_CHECKED = 1 << 20
_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]+/(\*|[a-z0-9!#$&^_.+-]+)")
_HEADER = re.compile(r"[\x20-\x7e]{1,1024}")
_NOT_JSON_WORDS = re.compile(rb"NaN|Infinity")


class _NoJsonError(Exception):
    """A value that JSON can't hold."""


def error_of_script(error: BaseException, script: str = "the script") -> RequestError:
    """Say what a client is told: an exception with an HTTP status keeps it, any other is 500 with its message."""
    status = None
    for name in ("status_code", "status"):
        value = _attribute(error, name)
        if isinstance(value, int) and not isinstance(value, bool) and 400 <= value <= 599:
            status = int(value)
            break
    message = hint(error, script) if isinstance(error, ImportError) else None
    return RequestError(ErrorCode.SCRIPT_ERROR, message or _message(error), status)


def _attribute(error: BaseException, name: str) -> Any:
    try:
        return getattr(error, name, None)
    except BaseException:  # it is the script's code
        return None


def _message(error: BaseException) -> str:
    name = type(error).__name__
    try:
        text = str(_attribute(error, "message") or error)
    except BaseException:
        return f"{name}, whose text can't be had"
    if not isinstance(error, Exception):
        text = f"{name}: {text}" if text else name  # sys.exit(3) says no more than 3
    return text[:MAX_MESSAGE].strip().encode("utf-8", "replace").decode("utf-8") or name


def _refused(message: str) -> RequestError:
    return RequestError(ErrorCode.SCRIPT_ERROR, message)


# Formats.


def plain(value: Any) -> Any:
    """Turn a value that json doesn't know into one that it does. Raises TypeError."""
    if isinstance(value, np.ndarray | np.generic) or hasattr(value, "tolist"):
        return value.tolist()  # tensors and pandas's columns too
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence | Set) and not isinstance(value, bytes | bytearray | memoryview):
        return list(value)
    raise _NoJsonError(f"an object of the type {type(value).__name__}")


def json_text(value: Any) -> str:
    """Write ``value`` as JSON. Raises RequestError 500 that says what can't be."""
    try:
        text = json.dumps(value, default=plain, ensure_ascii=False, allow_nan=False)
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(value, default=plain, allow_nan=False)  # half of a pair of surrogates: escaped
    except _NoJsonError as error:
        reason = str(error)
    except ValueError as error:
        reason = "a list that holds itself" if "Circular" in str(error) else "NaN or Infinity"
    except RecursionError:
        reason = "lists in lists, too deep"
    except Exception as error:
        reason = f"something that isn't JSON ({_message(error)})"
    else:
        return text
    raise _refused(
        f"the script's answer holds {reason}, which JSON can't say; return numbers, text, lists and dictionaries, "
        "or make the body in output_fn"
    )


def _array(value: Any) -> np.ndarray | None:
    """``value`` as an array of numbers or text, None where it is none."""
    array = _as_array(value)
    if array is None and hasattr(value, "tolist"):  # a tensor with a gradient, or on a GPU
        array = _as_array(plain(value))
    return array


def _as_array(value: Any) -> np.ndarray | None:
    try:
        array = np.asarray(value)
    except Exception:  # the script's own objects raise what they like
        return None
    return None if array.dtype.hasobject else array


def _csv_text(array: np.ndarray) -> str:
    stream = io.StringIO()
    rows = array.reshape(-1, 1) if array.ndim < 2 else array
    csv.writer(stream, lineterminator="\n").writerows(rows.tolist())
    return stream.getvalue()


def _npy_bytes(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    return stream.getvalue()


def _as_json(value: Any) -> Response:
    return Response(json_text(value).encode(), JSON)


def _as_json_lines(value: Any) -> Response:
    return Response(f"{json_text(value)}\n".encode(), JSON_LINES)


def _as_csv(value: Any) -> Response | None:
    array = _array(value)
    if array is None or array.ndim > 2:
        return None
    return Response(_csv_text(array).encode(), "text/csv; charset=utf-8")


def _as_npy(value: Any) -> Response | None:
    array = _array(value)
    return None if array is None else Response(_npy_bytes(array), NPY)


#: How a value is written in each format, None where it can't be: in the order in which a wildcard takes them.
_FORMATS: dict[str, Callable[[Any], Response | None]] = {
    JSON: _as_json,
    CSV: _as_csv,
    NPY: _as_npy,
    JSON_LINES: _as_json_lines,
    "application/jsonl": _as_json_lines,  # another name: only asked for
}


# What the client accepts.


def accepted(accept: str, default: str) -> list[str]:
    """List an Accept header's media types, the most wanted first; ``default`` stands for an empty one and for */*."""
    ranges = []
    for part in items(accept if accept.strip() else default, ","):
        kind, parameters = media_type(part)
        weight = quality(parameters)
        if weight > 0 and (_TYPE.fullmatch(kind) or kind in ("*", "*/*")):
            ranges.append((weight, kind))
    kinds = [kind for _, kind in sorted(ranges, key=lambda item: -item[0])]
    if not default or not any(kind in ("*", "*/*") for kind in kinds):
        return kinds
    place = next(index for index, kind in enumerate(kinds) if kind in ("*", "*/*"))
    return [*kinds[:place], *accepted(default, ""), *kinds[place:]]


def _names_one_type(accept: str) -> bool:
    kind = accept.partition(";")[0].strip().lower()
    return bool(_HEADER.fullmatch(accept) and _TYPE.fullmatch(kind)) and "," not in accept and "*" not in accept


def _one_type(accept: str, default: str) -> str:
    """The type that a body is of which nobody says it: the client's first that names one."""
    named = [kind for kind in accepted(accept, default) if not kind.endswith("*")]
    return named[0] if named else JSON


def _negotiated(value: Any, accept: str, default: str) -> Response | None:
    for kind in accepted(accept, default):
        first = kind.removesuffix("*") if kind.endswith("/*") else ""
        for known, write in _FORMATS.items():
            if kind in (known, "*", "*/*") or (first not in ("", "*/") and known.startswith(first)):
                response = write(value)
                if response is not None:
                    return response
    return None


# Responses.


def _joined(value: Any) -> Any:
    """A generator's pieces: one body where they are text or bytes, else a list."""
    if not isinstance(value, Iterator | AsyncIterator):
        return value
    pieces = collected(value)
    if pieces and all(isinstance(piece, str) for piece in pieces):
        return "".join(pieces)
    if pieces and all(isinstance(piece, bytes | bytearray) for piece in pieces):
        return b"".join(pieces)
    return pieces


def _body(value: str | bytes, kind: str, stated: bool) -> Response:
    """A body of the script's own making. Raises RequestError 500."""
    try:
        body = value.encode() if isinstance(value, str) else value
    except UnicodeEncodeError as error:
        raise _refused(f"the script's answer can't be written as UTF-8: {error.reason}") from None
    if media_type(kind)[0] == JSON:
        if _NOT_JSON_WORDS.search(body) and _holds_words(body):
            raise _refused("the script's answer holds NaN or Infinity, which JSON can't say")
        if not stated and not _looks_like_json(body):
            kind = TEXT if isinstance(value, str) else BYTES
    return Response(body, kind)


def _holds_words(body: bytes) -> bool:
    """Whether NaN or Infinity stand in JSON as values, not in its texts."""
    found: list[str] = []
    try:
        json.loads(body, parse_constant=found.append)
    except (ValueError, RecursionError):
        return False
    return bool(found)


def _looks_like_json(body: bytes) -> bool:
    if len(body) > _MAX_CHECKED:
        return body.lstrip()[:1] in (b"{", b"[", b'"')
    try:
        json.loads(body)
    except (ValueError, RecursionError):
        return False
    return True


def response_from_body(result: Any, accept: str, default: str = JSON) -> Response:
    """Respond with what output_fn or transform_fn returned: a body, or (body, content type).

    Raises RequestError 500 for what can't be a body.
    """
    kind = None
    if isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], str | None):
        result, kind = result
    if kind == accept and not _names_one_type(accept):
        kind = None  # scripts often give the client's Accept back as it is, which may be anything but a type
    if kind is not None and not _HEADER.fullmatch(kind):
        raise _refused("the script's content type is none: it must be printable ASCII on one line")
    if result is None:
        raise _refused("the script returned no body (None); return one from output_fn or transform_fn")
    result = _joined(result)
    if isinstance(result, memoryview | bytearray):
        result = bytes(result)
    if isinstance(result, str | bytes):
        return _body(result, kind or _one_type(accept, default), stated=kind is not None)
    if kind is None:
        return _negotiated(result, accept, default) or Response(json_text(result).encode(), JSON)
    write = _FORMATS.get(media_type(kind)[0], _as_json)
    response = write(result)
    return Response(response.body if response else json_text(result).encode(), kind)


def response_from_prediction(result: Any, accept: str, default: str = JSON) -> Response:
    """Respond with what predict_fn or the model returned, where there is no output_fn: bytes are a body.

    Raises RequestError 406 for an Accept that names no format for it, 500 for what JSON can't hold.
    """
    result = _joined(result)
    if isinstance(result, bytes | bytearray | memoryview):
        return _body(bytes(result), _one_type(accept, default), stated=False)
    response = _negotiated(result, accept, default)
    if response is None:
        raise RequestError(
            ErrorCode.NOT_ACCEPTABLE,
            f"can't answer as {accept!r}; accept application/json, or for arrays text/csv or {NPY}",
        )
    return response
