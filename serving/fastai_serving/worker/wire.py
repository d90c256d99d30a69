"""An answer as multi-model-server's worker protocol can carry it.

The protocol (``mms.protocol.otf_message_handler``) writes the length of a content type and of a reason phrase in
characters and their text in UTF-8, lengths in 31 bits, and one answer that it can't write takes its whole batch with
it. What a client or a script said must therefore be looked at before: here, last of all.
"""

from __future__ import annotations

from dataclasses import replace
from http import HTTPStatus

from fastai_serving.media_types import content_type_for, printable
from fastai_serving.responses import INTERNAL, JSON, Answer, RequestError, echo, error_answer

#: Characters of a content type, and of any other header: more is no use to a client, which may refuse it.
MAX_HEADER = 1000


def phrase(status: int) -> str:
    """The reason phrase of an HTTP status; a script may use one that Python doesn't name."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Client Error" if status < 500 else "Server Error"


def sendable(answer: Answer, accept: str, default_accept: str, limit: int) -> Answer:
    """``answer``, or the error that stands for one that can't be sent.

    Where a script says no content type, its answer has the client's ``accept`` for one; of that stays what is a media
    type, ``default_accept`` otherwise. ``limit`` is of the body, in bytes.
    """
    try:
        return _checked(answer, accept, default_accept, limit)
    except RequestError as error:
        return error_answer(error)
    except Exception:  # an answer is the script's: anything may be in it
        return error_answer(INTERNAL)


def _checked(answer: Answer, accept: str, default_accept: str, limit: int) -> Answer:
    kind = answer.content_type
    wish = default_accept if accept.strip() in ("", "*/*") else accept
    if kind in (wish, "*/*"):
        kind = content_type_for(wish) or content_type_for(default_accept) or JSON
    if not isinstance(kind, str) or not kind.strip() or not printable(kind) or len(kind) > MAX_HEADER:
        said = echo(kind) if isinstance(kind, str) else f"a {type(kind).__name__}"
        raise RequestError(
            500,
            "script_error",
            f"the script's content type {said} is not printable ASCII of 1 to {MAX_HEADER} characters",
        )
    for name, value in answer.headers.items():
        if not printable(f"{name}{value}") or len(value) > MAX_HEADER:
            raise RequestError(500, "script_error", f"the answer's header {echo(name)} is not printable ASCII")
    if not isinstance(answer.status, int) or not 200 <= answer.status <= 599:
        raise RequestError(500, "script_error", "the answer's status is none from 200 to 599")
    body = bytes(answer.body)
    if len(body) > limit:
        raise RequestError(
            507, "answer_too_large", f"the model's answer has {len(body):,} bytes; at most {limit:,} can be sent"
        )
    return replace(answer, body=body, content_type=kind.strip(), status=int(answer.status))
