from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastai_container import errors as subject


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a plain name.jpg", "a plain name.jpg"),
        ("tabs\tstay, as do ümläuts and 猫 and 😀", "tabs\tstay, as do ümläuts and 猫 and 😀"),
        ("two\nlines\r", r"two\nlines\r"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("\u202egpj.exe", r"\u202egpj.exe"),  # shown from right to left
        ("zero\u200bwidth", r"zero\u200bwidth"),
        ("a line\u2028and a paragraph\u2029", r"a line\u2028and a paragraph\u2029"),
        ("not UTF-8: \udcff", r"not UTF-8: \udcff"),
    ],
)
def test_what_is_no_visible_character_is_shown_as_its_escape(text: str, shown: str) -> None:
    assert subject.printable(text) == shown


@settings(deadline=None)
@given(st.text(st.characters()))
def test_any_text_is_one_line_that_can_be_encoded(text: str) -> None:
    shown = subject.printable(text)
    assert len(shown.splitlines()) <= 1
    shown.encode()
    assert subject.printable(shown) == shown


def test_what_cannot_be_read_is_told_with_the_user_and_both_remedies(monkeypatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    told = subject.unreadable(Path("/opt/ml/model/model.json"))
    assert told.startswith("/opt/ml/model/model.json can't be read by user 1000: ")
    assert "chmod -R a+rX" in told
    assert '{"user": "0"}' in told


def test_a_picture_errors_code_says_why() -> None:
    error = subject.PictureError("truncated", "it is cut short")
    assert (error.code, str(error)) == ("truncated", "it is cut short")
    assert isinstance(error, ValueError)
    assert not isinstance(error, subject.UserError), "one picture is no reason to end a job"
