from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastai_serving.responses import (
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
    assert top_k("top_k=002, top_k=2", 3) == 2


@pytest.mark.parametrize(
    "value",
    ["0", "00", "-1", "many", "", "1.0", "1e3", "²", "٣", "３", "1_0", " ", "\x00", "9" * 10, "9" * 5000, "0" * 5000],
)
def test_a_top_k_that_is_no_number_says_the_range(value):
    with pytest.raises(RequestError, match=r"must be a whole number from 1 to 37$") as caught:
        top_k(f"top_k={value}", 37)
    assert (caught.value.status, caught.value.code) == (400, "bad_custom_attribute")
    assert len(str(caught.value)) < 250


def test_two_different_top_k_are_refused():
    with pytest.raises(RequestError, match="2 times, with different values"):
        top_k("top_k=1,top_k=2", 37)


@pytest.mark.parametrize(
    "kind",
    [
        "binary/octet-stream",
        "image/pjpeg",
        "image/x-portable-pixmap",
        "image/x-png",
        "Image/JPG; q=1",
        "image/x-ms-bmp",
        "image/tif",
        "image/*",
        "application/x-image",
    ],
)
def test_other_names_of_pictures_are_taken(kind):
    check_content_type(kind)


def test_curls_own_content_type_is_told_apart():
    with pytest.raises(RequestError, match="curl says so unless"):
        check_content_type("application/x-www-form-urlencoded")


@pytest.mark.timeout(120)
@pytest.mark.parametrize("filling", [";", ",", '";"', "\\", '"', ";a=", " ", '\\"', ";q="])
def test_headers_are_read_in_time_proportional_to_their_length(filling):
    """A quadratic reading of these would take minutes."""
    long = 'application/json; a="' + filling * (3_000_000 // len(filling))
    assert outcome(choose_format, long) in (JSON, 406)
    assert outcome(check_content_type, long) == 415
    assert outcome(top_k, long, 3) == 3


def test_a_long_header_is_not_repeated_whole():
    with pytest.raises(RequestError) as caught:
        choose_format("x" * 100_000)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("value", ["nan", "inf", "-1", "1e1", "1_0", "٣", ".", "", "1" * 5000, "0x1", " 1"])
def test_a_weight_that_is_no_number_is_not_acceptable(value):
    assert outcome(choose_format, f'text/csv;q="{value}"') == 406


@pytest.mark.parametrize("value", ["1", "0.001", ".5", "2", "1.000", "0.1234567"])
def test_weights(value):
    assert choose_format(f"text/csv;q={value}, application/json;q=0.0001") == CSV


def test_no_number_is_no_answer():
    for bad in (float("nan"), float("inf")):
        with pytest.raises(RequestError, match="no number") as caught:
            prediction(np.array([0.2, bad, 0.7], dtype=np.float32), VOCAB, 2)
        assert caught.value.status == 500


def test_prediction_and_formats():
    content = prediction(np.array([0.2, 0.1, 0.7], dtype=np.float32), VOCAB, 2)
    assert (content["class"], content["confidence"]) == ("pug, fawn", 0.7)
    assert [item["class"] for item in content["predictions"]] == ["pug, fawn", "cat"]
    assert json.loads(encode(content, JSON).body) == content
    assert encode(content, JSON_LINES).body.endswith(b"\n")
    assert encode(content, CSV).body.decode().splitlines() == ["class,confidence", '"pug, fawn",0.7', "cat,0.2"]
    assert encode(content, CSV).content_type == "text/csv; charset=utf-8"
    assert encode(content, JSON).content_type == "application/json"


def test_error_answer():
    answer = error_answer(RequestError(400, "truncated", "cut short"))
    assert answer.status == 400
    assert json.loads(answer.body) == {"error": {"code": "truncated", "message": "cut short"}}
