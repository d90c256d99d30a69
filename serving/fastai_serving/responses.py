"""What is answered, and in which format: probabilities to JSON, JSON lines or CSV; errors to JSON."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from dataclasses import dataclass, field
from typing import Any

from fastai_serving.media_types import items, media_type, quality

JSON, JSON_LINES, CSV, PNG = "application/json", "application/jsonlines", "text/csv", "image/png"
#: As it is answered: without a charset, clients take text for Latin-1. JSON is UTF-8 by its definition.
_CONTENT_TYPES = {CSV: "text/csv; charset=utf-8"}
#: Other names of the formats above.
_ACCEPT_ALIASES = {JSON: JSON, JSON_LINES: JSON_LINES, "application/jsonl": JSON_LINES, CSV: CSV, PNG: PNG}
#: The order in which a wildcard takes them.
_FORMATS = (JSON, JSON_LINES, CSV, PNG)
#: Content types under which a picture is taken; what it really is, its bytes say.
PICTURE_TYPES = frozenset(
    f"image/{name}"
    for name in (
        *("jpeg", "jpg", "pjpeg", "jpe", "jfif", "x-jpeg", "x-jpg", "x-citrix-jpeg", "pipeg"),
        *("png", "x-png", "apng", "vnd.mozilla.apng", "x-citrix-png"),
        *("webp", "x-webp", "gif", "x-gif", "x-citrix-gif"),
        *("bmp", "x-bmp", "x-ms-bmp", "x-windows-bmp", "vnd.microsoft.bmp"),
        *("tiff", "tif", "x-tiff", "x-tif"),
        *("x-portable-pixmap", "x-portable-graymap", "x-portable-bitmap", "x-portable-anymap"),
        "*",
    )
) | {"application/x-image", "application/octet-stream", "binary/octet-stream"}  # the last is what S3 says by itself
#: Characters of a client's or a script's words that an error repeats.
MAX_MESSAGE = 1000
_MAX_ECHO = 100
_WHOLE_NUMBER = re.compile(r"0*([1-9][0-9]{0,8})")


class RequestError(Exception):
    """A request that gets an error for an answer. ``status``: HTTP status, ``code``: a word for programs."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


@dataclass
class Answer:
    body: bytes
    content_type: str = JSON
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


INTERNAL = RequestError(500, "internal_error", "the request could not be processed; the server's log has the reason")


def echo(text: str) -> str:
    """What a client said, quoted, for a message; not all of it when it is long."""
    return repr(text if len(text) <= _MAX_ECHO else f"{text[:_MAX_ECHO]}…")


def choose_format(accept: str, default: str = JSON) -> str:
    """The best of our formats for an Accept header (RFC 9110, section 12.5.1).

    Raises RequestError 406 when none is acceptable.
    """
    if accept.strip() in ("", "*/*"):
        accept = default
    wanted: dict[str, float] = {}
    specificity: dict[str, int] = {}
    for part in items(accept, ","):
        kind, parameters = media_type(part)
        weight = quality(parameters)
        matches = [_ACCEPT_ALIASES[kind]] if kind in _ACCEPT_ALIASES else []
        rank = 2
        if kind in ("*/*", "*"):
            matches, rank = list(_FORMATS), 0
        elif kind.endswith("/*"):
            matches, rank = [name for name in _FORMATS if name.startswith(kind[:-1])], 1
        for name in matches:
            # The more specific range wins, whatever its place in the list.
            if rank >= specificity.get(name, -1):
                wanted[name], specificity[name] = weight, rank
    # A stable sort: formats of one quality stay in our order.
    best = sorted((name for name in _FORMATS if wanted.get(name, 0) > 0), key=lambda name: -wanted[name])
    if not best:
        raise RequestError(
            406, "not_acceptable", f"can't answer as {echo(accept)}; accept one of {', '.join(_FORMATS)}"
        )
    return best[0]


def check_content_type(content_type: str) -> None:
    """Raises RequestError 415 unless ``content_type`` is that of a picture."""
    kind, _ = media_type(content_type)
    if kind not in PICTURE_TYPES:
        said = f"Content-Type {echo(kind)} is not supported" if kind else "the request has no Content-Type"
        if kind == "application/x-www-form-urlencoded":
            said += " (curl says so unless it is told: -H 'Content-Type: image/jpeg')"
        raise RequestError(
            415,
            "unsupported_media_type",
            f"{said}; send one picture as the body, as image/jpeg, image/png or image/webp",
        )


def top_k(attributes: str, classes: int) -> int:
    """``top_k=5`` of X-Amzn-SageMaker-Custom-Attributes; all ``classes`` without it, or when it is more.

    Raises RequestError 400 for a value that is no whole number from 1 up, and for two that differ.
    """
    found = set()
    for part in attributes.replace(";", ",").split(","):
        name, _, value = part.partition("=")
        if name.strip().lower() == "top_k":
            match = _WHOLE_NUMBER.fullmatch(value.strip())
            if match is None:
                said = f"top_k={echo(value.strip())} must be a whole number from 1 to {classes}"
                raise RequestError(400, "bad_custom_attribute", said)
            found.add(int(match.group(1)))
    if len(found) > 1:
        raise RequestError(400, "bad_custom_attribute", f"top_k is given {len(found)} times, with different values")
    return min(classes, *found) if found else classes


def prediction(probabilities: Any, vocab: list[str], count: int) -> dict[str, Any]:
    """The answer's content for probabilities (classes,): the most probable class and the best ``count``.

    Raises RequestError 500 for what is no number, which JSON can't say.
    """
    if not math.isfinite(float(probabilities.sum())):
        raise RequestError(500, "internal_error", "the model's answer to this picture is no number (NaN or infinite)")
    order = probabilities.argsort()[::-1][:count]
    best = [{"class": vocab[index], "confidence": round(float(probabilities[index]), 6)} for index in order]
    return {"class": best[0]["class"], "confidence": best[0]["confidence"], "predictions": best}


def encode(content: dict[str, Any], kind: str) -> Answer:
    """``content`` (see ``prediction``) in one of our formats; CSV has a row for each class, the best first."""
    if kind == CSV:
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(("class", "confidence"))
        writer.writerows((item["class"], item["confidence"]) for item in content["predictions"])
        return Answer(text.getvalue().encode(), _CONTENT_TYPES[CSV])
    ending = "\n" if kind == JSON_LINES else ""
    return Answer((json.dumps(content, ensure_ascii=False) + ending).encode(), kind)


def error_answer(error: RequestError) -> Answer:
    """What a client gets for an error: a code for programs and a sentence for people, never a traceback."""
    message = str(error)
    if len(message) > MAX_MESSAGE:
        message = f"{message[:MAX_MESSAGE]}…"
    body = json.dumps({"error": {"code": error.code, "message": message}}, ensure_ascii=False)
    return Answer(body.encode("utf-8", "replace"), JSON, error.status)
