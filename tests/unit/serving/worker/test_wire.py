"""A response that multi-model-server's protocol can carry, whatever is in it; see test_handler.py for the whole way."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastai_serving.media_types import content_type_for, media_type
from fastai_serving.responses import JSON, Response
from fastai_serving.worker.wire import phrase, sendable


@given(st.text(max_size=60))
def test_a_clients_accept_is_a_content_type_only_when_it_is_one(accept):
    kind = sendable(Response(b"", accept), accept, JSON, 10).content_type
    major, minor = media_type(kind)[0].split("/")
    assert major
    assert minor
    assert kind.isascii()
    assert kind.isprintable()
    assert "*" not in kind


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("text/plain", "text/plain"),
        ("application/json;é", "application/json"),
        ("application/json;q=0.2, text/csv; charset=utf-8; q=0.9; x=y", "text/csv; charset=utf-8"),
        ('text/plain; a="b,c;d"', 'text/plain; a="b,c;d"'),
        ("application/json;verbose", "application/json"),
        ("*/*", None),
        ("text/*, */*;q=0.1", None),
        ("text/html;q=0", None),
        ("json", None),
        ("é/é", None),
        ("a/b/c", None),
        ("text/plain\r\nX-Evil: 1", None),
    ],
)
def test_the_content_type_that_a_client_wishes(accept, kind):
    assert content_type_for(accept) == kind
    assert sendable(Response(b"", accept), accept, JSON, 10).content_type == (kind or JSON)


def test_phrases():
    assert [phrase(status) for status in (404, 499, 599)] == ["Not Found", "Client Error", "Server Error"]
