from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastai_serving.media_types import content_type_for, items, media_type


@given(st.text(alphabet='",;\\=/ aq1.*\x00é', max_size=80))
def test_media_types_are_read_whatever_they_are(text):
    for separator in (",", ";"):
        assert sum(map(len, items(text, separator))) <= len(text)
    kind, parameters = media_type(text)
    assert ";" not in kind
    assert isinstance(parameters, dict)
    content_type_for(text)


@pytest.mark.parametrize(
    ("text", "kind", "parameters"),
    [
        ("Text/CSV; Charset=UTF-8", "text/csv", {"charset": "UTF-8"}),
        ('a/b; c="d;e\\"f"; g', "a/b", {"c": 'd;e"f', "g": ""}),
        ('a/b; c="never closed; d=e', "a/b", {"c": '"never closed; d=e'}),
        ("", "", {}),
        (";q=1", "", {"q": "1"}),
    ],
)
def test_media_types(text, kind, parameters):
    assert media_type(text) == (kind, parameters)
