"""What a worker serves, whatever it is: the built-in model, or a user's script with its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from fastai_serving.errors import ErrorCode
from fastai_serving.responses import INTERNAL, RequestError, Response, error_response
from fastai_serving.worker.request import Request, log_failure

_OUT_OF_MEMORY = RequestError(
    ErrorCode.OUT_OF_MEMORY, "there was not enough memory for this request; send a smaller picture"
)


class ServedModel(Protocol):
    def predict(self, requests: Sequence[Request]) -> list[Response]:
        """Respond to each request of a batch, in their order; one's error is not another's."""

    def set_busy_workers(self, busy: int) -> None:
        """Share the machine with ``busy`` workers, this one among them, until told otherwise."""


def guarded(request: Request, respond: Callable[[], Response]) -> Response:
    """``respond()``, or the error that stands for what it raises."""
    try:
        return respond()
    except Exception as error:
        return failed(request, error)


def failed(request: Request, error: Exception) -> Response:
    """Say in a response, and in the log where the client can't know, what went wrong with ``request``."""
    if isinstance(error, RequestError):
        return error_response(error)
    if isinstance(error, MemoryError):
        return error_response(_OUT_OF_MEMORY)
    log_failure(request, error)
    return error_response(INTERNAL)
