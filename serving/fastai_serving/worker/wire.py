"""A response as multi-model-server's worker protocol can carry it.

The protocol (``mms.protocol.otf_message_handler``) writes the length of a content type and of a reason phrase in
characters and their text in UTF-8, lengths in 31 bits, and one response that it can't write takes its whole batch with
it. What a client or a script said must therefore be looked at before: here, last of all.
"""

from __future__ import annotations

from dataclasses import replace
from http import HTTPStatus

from fastai_serving.errors import ErrorCode
from fastai_serving.media_types import content_type_for, printable
from fastai_serving.responses import INTERNAL, JSON, RequestError, Response, echo, error_response

#: Characters of a content type, and of any other header: more is no use to a client, which may refuse it.
MAX_HEADER = 1000


def phrase(status: int) -> str:
    """The reason phrase of an HTTP status; a script may use one that Python doesn't name."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Client Error" if status < 500 else "Server Error"


def sendable(response: Response, accept: str, default_accept: str, limit: int) -> Response:
    """``response``, or the error that stands for one that can't be sent.

    Where a script says no content type, its response has the client's ``accept`` for one; of that stays what is a media
    type, ``default_accept`` otherwise. ``limit`` is of the body, in bytes.
    """
    try:
        return _checked(response, accept, default_accept, limit)
    except RequestError as error:
        return error_response(error)
    except Exception:  # a response is the script's: anything may be in it
        return error_response(INTERNAL)


def _checked(response: Response, accept: str, default_accept: str, limit: int) -> Response:
    kind = response.content_type
    wish = default_accept if accept.strip() in ("", "*/*") else accept
    if kind in (wish, "*/*"):
        kind = content_type_for(wish) or content_type_for(default_accept) or JSON
    if not isinstance(kind, str) or not kind.strip() or not printable(kind) or len(kind) > MAX_HEADER:
        said = echo(kind) if isinstance(kind, str) else f"a {type(kind).__name__}"
        raise RequestError(
            ErrorCode.SCRIPT_ERROR,
            f"the script's content type {said} is not printable ASCII of 1 to {MAX_HEADER} characters",
        )
    for name, value in response.headers.items():
        if not printable(f"{name}{value}") or len(value) > MAX_HEADER:
            raise RequestError(ErrorCode.SCRIPT_ERROR, f"the answer's header {echo(name)} is not printable ASCII")
    if not isinstance(response.status, int) or not 200 <= response.status <= 599:
        raise RequestError(ErrorCode.SCRIPT_ERROR, "the answer's status is none from 200 to 599")
    body = bytes(response.body)
    if len(body) > limit:
        raise RequestError(
            ErrorCode.ANSWER_TOO_LARGE, f"the model's answer has {len(body):,} bytes; at most {limit:,} can be sent"
        )
    return replace(response, body=body, content_type=kind.strip(), status=int(response.status))
