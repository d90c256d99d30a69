from __future__ import annotations

import json

import pytest

from fastai_serving.errors import ErrorCode
from fastai_serving.responses import RequestError, Response
from fastai_serving.worker.request import REQUEST_ID, Request
from fastai_serving.worker.served_model import guarded

REQUEST = Request({REQUEST_ID: "id 7"}, b"", "", "")


@pytest.mark.parametrize(
    ("error", "status", "code", "logged"),
    [
        (RequestError(ErrorCode.UNSUPPORTED_MEDIA_TYPE, "odd"), 415, "unsupported_media_type", False),
        (MemoryError(), 507, "out_of_memory", False),
        (ValueError("our own fault"), 500, "internal_error", True),
    ],
)
def test_an_error_is_a_response_and_ours_is_logged(caplog, error: Exception, status: int, code: str, logged: bool):
    def respond() -> Response:
        raise error

    response = guarded(REQUEST, respond)
    assert (response.status, json.loads(response.body)["error"]["code"]) == (status, code)
    assert ("our own fault" in caplog.text) is logged
    assert b"our own fault" not in response.body


def test_a_response_is_left_as_it_is():
    response = Response(b"fine")
    assert guarded(REQUEST, lambda: response) is response
