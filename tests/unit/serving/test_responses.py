from __future__ import annotations

import json

from fastai_serving.errors import ErrorCode
from fastai_serving.responses import MAX_MESSAGE, RequestError, echo, error_response


def test_an_error_is_a_code_and_a_sentence():
    response = error_response(RequestError(ErrorCode.TRUNCATED, "cut short"))
    assert response.status == 400
    assert json.loads(response.body) == {"error": {"code": "truncated", "message": "cut short"}}


def test_an_error_of_any_text_can_be_sent():
    told = json.loads(error_response(RequestError(ErrorCode.SCRIPT_ERROR, "\ud800" * 5000)).body)["error"]["message"]
    assert told == "?" * MAX_MESSAGE + "…"


def test_what_a_client_said_is_quoted_and_not_repeated_whole():
    assert echo("a'b") == '"a\'b"'
    assert len(echo("x" * 100_000)) < 110
