from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastai_serving import logs
from fastai_serving.responses import CSV, JSON, RequestError
from fastai_serving.worker import request as module
from fastai_serving.worker.request import CUSTOM_ATTRIBUTES, REQUEST_ID, Request, log_failure


def top_k(attributes: str, classes: int) -> int:
    return Request({CUSTOM_ATTRIBUTES: attributes}, b"", "", "").top_k(classes)


def check_content_type(text: str) -> None:
    Request({}, b"", text, "").check_is_picture()


def outcome(function, *arguments):
    """What it returns, or the status of its refusal."""
    try:
        return function(*arguments)
    except RequestError as error:
        return error.status


@given(st.text(max_size=80))
def test_any_header_gives_a_result_or_a_refusal(text):
    assert outcome(check_content_type, text) in (None, 415)
    assert outcome(top_k, text, 3) in (1, 2, 3, 400)


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
    assert outcome(check_content_type, long) == 415
    assert outcome(top_k, long, 3) == 3


def test_no_content_type_is_said():
    with pytest.raises(RequestError, match="the request has no Content-Type"):
        check_content_type("")


def test_an_accept_is_read_once(monkeypatch):
    calls: list[str] = []
    real = module.choose_format
    monkeypatch.setattr(module, "choose_format", lambda *wish: calls.append(wish[0]) or real(*wish))
    request = Request({}, b"", "Image/JPEG; a=b", "", CSV)
    assert [request.response_format.media_type for _ in range(3)] == [CSV] * 3
    assert calls == [""]
    assert request.media_type == "image/jpeg"
    assert Request({}, b"", "", "application/json", CSV).response_format.media_type == JSON


def test_a_failure_is_logged_with_the_requests_id(caplog):
    seen: list[str] = []
    caplog.handler.addFilter(lambda record: seen.append(logs.request_id.get()) or True)
    log_failure(Request({REQUEST_ID: "id 7"}, b"", "", ""), ValueError("odd"))
    assert seen == ["id 7"]
    assert logs.request_id.get() == ""
    assert "ValueError: odd" in caplog.text
