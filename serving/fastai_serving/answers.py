"""What is answered, and in which format: probabilities to JSON, JSON lines or CSV; errors to JSON."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass, field
from email.message import Message
from typing import Any

JSON, JSON_LINES, CSV, PNG = "application/json", "application/jsonlines", "text/csv", "image/png"
#: Other names of the formats above.
_ACCEPT_ALIASES = {JSON: JSON, JSON_LINES: JSON_LINES, "application/jsonl": JSON_LINES, CSV: CSV, PNG: PNG}
#: The order in which a wildcard takes them.
_FORMATS = (JSON, JSON_LINES, CSV, PNG)
#: Content types under which a picture is taken; what it really is, its bytes say.
PICTURE_TYPES = frozenset(
    {
        "image/jpeg",
        "image/jpg",
        "image/png",
        "image/webp",
        "image/gif",
        "image/bmp",
        "image/x-ms-bmp",
        "image/tiff",
        "application/x-image",
        "application/octet-stream",
    }
)


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


def media_type(text: str) -> tuple[str, dict[str, str]]:
    """A header's media type in lower case and its parameters (RFC 9110, section 8.3.1)."""
    message = Message()
    message["Content-Type"] = text
    kind, *parameters = message.get_params(failobj=[("", "")])
    return kind[0].strip().lower(), {name.lower(): value for name, value in parameters}


def _quality(parameters: dict[str, str]) -> float:
    try:
        return min(1.0, max(0.0, float(parameters.get("q", "1"))))
    except ValueError:
        return 0.0


def choose_format(accept: str, default: str = JSON) -> str:
    """The best of our formats for an Accept header (RFC 9110, section 12.5.1).

    Raises RequestError 406 when none is acceptable.
    """
    if accept.strip() in ("", "*/*"):
        accept = default
    wanted: dict[str, float] = {}
    specificity: dict[str, int] = {}
    for part in accept.split(","):
        kind, parameters = media_type(part)
        quality = _quality(parameters)
        matches = [_ACCEPT_ALIASES[kind]] if kind in _ACCEPT_ALIASES else []
        rank = 2
        if kind in ("*/*", "*"):
            matches, rank = list(_FORMATS), 0
        elif kind.endswith("/*"):
            matches, rank = [name for name in _FORMATS if name.startswith(kind[:-1])], 1
        for name in matches:
            # The more specific range wins, whatever its place in the list.
            if rank >= specificity.get(name, -1):
                wanted[name], specificity[name] = quality, rank
    # A stable sort: formats of one quality stay in our order.
    best = sorted((name for name in _FORMATS if wanted.get(name, 0) > 0), key=lambda name: -wanted[name])
    if not best:
        raise RequestError(406, "not_acceptable", f"can't answer as {accept!r}; accept one of {', '.join(_FORMATS)}")
    return best[0]


def check_content_type(content_type: str) -> None:
    """Raises RequestError 415 unless ``content_type`` is that of a picture."""
    kind, _ = media_type(content_type)
    if kind not in PICTURE_TYPES:
        said = f"Content-Type {kind!r} is not supported" if kind else "the request has no Content-Type"
        raise RequestError(
            415,
            "unsupported_media_type",
            f"{said}; send one picture as the body, as image/jpeg, image/png or image/webp",
        )


def top_k(attributes: str, classes: int) -> int:
    """``top_k=5`` of X-Amzn-SageMaker-Custom-Attributes; all classes when it isn't given.

    Raises RequestError 400 for a value that is no whole number from 1 up.
    """
    for part in attributes.replace(";", ",").split(","):
        name, _, value = part.partition("=")
        if name.strip().lower() == "top_k":
            if not value.strip().isdecimal() or int(value) < 1:
                raise RequestError(
                    400, "bad_custom_attribute", f"top_k={value.strip()!r} must be a whole number from 1 to {classes}"
                )
            return min(int(value), classes)
    return classes


def prediction(probabilities: Any, vocab: list[str], count: int) -> dict[str, Any]:
    """The answer's content for probabilities (classes,): the most probable class and the best ``count``."""
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
        return Answer(text.getvalue().encode(), CSV)
    ending = "\n" if kind == JSON_LINES else ""
    return Answer((json.dumps(content, ensure_ascii=False) + ending).encode(), kind)


def error_answer(error: RequestError) -> Answer:
    """What a client gets for an error: a code for programs and a sentence for people, never a traceback."""
    body = json.dumps({"error": {"code": error.code, "message": str(error)}}, ensure_ascii=False)
    return Answer(body.encode(), JSON, error.status)
