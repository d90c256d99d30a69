from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastai_serving.response_formats import FORMATS, Prediction, choose_format, encode, prediction
from fastai_serving.responses import CSV, JSON, JSON_LINES, PNG, RequestError, Response

VOCAB = ["cat", "dog", "pug, fawn"]


def chosen(accept: str, default: str = JSON) -> str:
    return choose_format(accept, default).media_type


def written(content: dict, kind: str) -> Response:
    return encode(Prediction(content), choose_format(kind))


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
    assert chosen(accept) == expected


@pytest.mark.parametrize("accept", ["text/html", "application/json;q=0", "application/json;q=x", ",", "*/*;q=0, x"])
def test_choose_format_refuses(accept):
    with pytest.raises(RequestError) as caught:
        choose_format(accept)
    assert caught.value.status == 406


def test_the_default_stands_for_no_wish():
    assert chosen("", CSV) == chosen("*/*", CSV) == CSV
    assert chosen("application/json", CSV) == JSON


def outcome(accept: str) -> str | int:
    """The format that is chosen, or the status of the refusal."""
    try:
        return chosen(accept)
    except RequestError as error:
        return error.status


@given(st.text(max_size=80))
def test_any_header_gives_a_result_or_a_refusal(text):
    assert outcome(text) in (JSON, JSON_LINES, CSV, PNG, 406)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("filling", [";", ",", '";"', "\\", '"', ";a=", " ", '\\"', ";q="])
def test_headers_are_read_in_time_proportional_to_their_length(filling):
    """A quadratic reading of these would take minutes."""
    long = 'application/json; a="' + filling * (3_000_000 // len(filling))
    assert outcome(long) in (JSON, 406)


def test_a_long_header_is_not_repeated_whole():
    with pytest.raises(RequestError) as caught:
        choose_format("x" * 100_000)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("value", ["nan", "inf", "-1", "1e1", "1_0", "٣", ".", "", "1" * 5000, "0x1", " 1"])
def test_a_weight_that_is_no_number_is_not_acceptable(value):
    assert outcome(f'text/csv;q="{value}"') == 406


@pytest.mark.parametrize("value", ["1", "0.001", ".5", "2", "1.000", "0.1234567"])
def test_weights(value):
    assert chosen(f"text/csv;q={value}, application/json;q=0.0001") == CSV


def test_no_number_is_no_answer():
    for bad in (float("nan"), float("inf")):
        with pytest.raises(RequestError, match="no number") as caught:
            prediction(np.array([0.2, bad, 0.7], dtype=np.float32), VOCAB, 2)
        assert caught.value.status == 500


def test_prediction_and_formats():
    content = prediction(np.array([0.2, 0.1, 0.7], dtype=np.float32), VOCAB, 2)
    assert (content["class"], content["confidence"]) == ("pug, fawn", 0.7)
    assert [item["class"] for item in content["predictions"]] == ["pug, fawn", "cat"]
    assert json.loads(written(content, JSON).body) == content
    assert written(content, JSON_LINES).body.endswith(b"\n")
    assert written(content, CSV).body.decode().splitlines() == ["class,confidence", '"pug, fawn",0.7', "cat,0.2"]
    assert written(content, CSV).content_type == "text/csv; charset=utf-8"
    assert written(content, JSON).content_type == "application/json"


def test_every_name_of_a_format_asks_for_it():
    for known in FORMATS:
        assert {choose_format(name) for name in (known.media_type, *known.aliases)} == {known}
    assert chosen("application/jsonl") == JSON_LINES


def test_what_draws_needs_a_picture():
    content = prediction(np.array([0.2, 0.1, 0.7], dtype=np.float32), VOCAB, 1)
    drawn = encode(Prediction(content, draw=lambda: b"drawn"), choose_format(PNG))
    assert (drawn.body, drawn.content_type) == (b"drawn", PNG)
    with pytest.raises(RequestError, match="a PNG can't be made") as caught:
        written(content, PNG)
    assert caught.value.status == 406
