from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastai_serving.answers import (
    CSV,
    JSON,
    JSON_LINES,
    PNG,
    RequestError,
    check_content_type,
    choose_format,
    encode,
    error_answer,
    media_type,
    prediction,
    top_k,
)

VOCAB = ["cat", "dog", "pug, fawn"]


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        ("text/*", CSV),
        ("image/*", PNG),
        ("text/csv;q=0.5, application/json;q=0.4", CSV),
        ("application/json;q=0, */*", JSON_LINES),
        ("*/*;q=0.1, text/csv;q=0.2", CSV),
        ("APPLICATION/JSONLINES ; Q=1", JSON_LINES),
    ],
)
def test_choose_format(accept, expected):
    assert choose_format(accept) == expected


@pytest.mark.parametrize("accept", ["text/html", "application/json;q=0", "application/json;q=x", ",", "*/*;q=0, x"])
def test_choose_format_refuses(accept):
    with pytest.raises(RequestError) as caught:
        choose_format(accept)
    assert caught.value.status == 406


def test_the_default_stands_for_no_wish():
    assert choose_format("", CSV) == choose_format("*/*", CSV) == CSV
    assert choose_format("application/json", CSV) == JSON


def outcome(function, *arguments):
    """What it returns, or the status of its refusal."""
    try:
        return function(*arguments)
    except RequestError as error:
        return error.status


@given(st.text(max_size=80))
def test_any_header_gives_a_result_or_a_refusal(text):
    assert outcome(choose_format, text) in (JSON, JSON_LINES, CSV, PNG, 406)
    assert outcome(check_content_type, text) in (None, 415)
    assert outcome(top_k, text, 3) in (1, 2, 3, 400)
    media_type(text)


def test_top_k():
    assert top_k("", 3) == 3
    assert top_k("top_k=2", 3) == 2
    assert top_k("a=1; TOP_K = 9", 3) == 3


def test_prediction_and_formats():
    content = prediction(np.array([0.2, 0.1, 0.7], dtype=np.float32), VOCAB, 2)
    assert (content["class"], content["confidence"]) == ("pug, fawn", 0.7)
    assert [item["class"] for item in content["predictions"]] == ["pug, fawn", "cat"]
    assert json.loads(encode(content, JSON).body) == content
    assert encode(content, JSON_LINES).body.endswith(b"\n")
    assert encode(content, CSV).body.decode().splitlines() == ["class,confidence", '"pug, fawn",0.7', "cat,0.2"]


def test_error_answer():
    answer = error_answer(RequestError(400, "truncated", "cut short"))
    assert answer.status == 400
    assert json.loads(answer.body) == {"error": {"code": "truncated", "message": "cut short"}}
