"""A response, and what a client gets for an error: a code for programs and a sentence for people."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from fastai_serving.errors import ErrorCode

JSON, JSON_LINES, CSV, PNG = "application/json", "application/jsonlines", "text/csv", "image/png"
#: Characters of a client's or a script's words that an error repeats.
MAX_MESSAGE = 1000
_MAX_ECHO = 100


class RequestError(Exception):
    """An HTTP error response; its ``status`` is the code's unless another is given."""

    def __init__(self, code: ErrorCode, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.code, self.status = code, status or code.status


@dataclass
class Response:
    """What goes back for one request."""

    body: bytes
    content_type: str = JSON
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


INTERNAL = RequestError(ErrorCode.INTERNAL_ERROR, "the request could not be processed; the server's log has the reason")


def echo(text: str) -> str:
    """Quote what a client said for a message; not all of it when it is long."""
    return repr(text if len(text) <= _MAX_ECHO else f"{text[:_MAX_ECHO]}…")


def error_response(error: RequestError) -> Response:
    """Write an error as JSON; never a traceback."""
    message = str(error)
    if len(message) > MAX_MESSAGE:
        message = f"{message[:MAX_MESSAGE]}…"
    body = json.dumps({"error": {"code": error.code.value, "message": message}}, ensure_ascii=False)
    return Response(body.encode("utf-8", "replace"), JSON, error.status)
