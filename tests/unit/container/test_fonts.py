from __future__ import annotations

import pytest

from fastai_container import fonts


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(fonts, "FOLDERS", (tmp_path, tmp_path / "none"))
    fonts.font_files.cache_clear()
    yield tmp_path
    fonts.font_files.cache_clear()


def test_fonts_are_asked_in_order_and_others_not_at_all(folder):
    for name in (
        "DejaVuSans.ttf",
        "NotoSansThai-Regular.ttf",
        "NotoSans-Regular.ttf",
        "Comic.ttf",
        "NotoSans-Bold.ttf",
    ):
        (folder / name).touch()
    names = [path.name for path in fonts.font_files()]
    assert names == ["NotoSans-Regular.ttf", "DejaVuSans.ttf", "NotoSansThai-Regular.ttf"]


def test_without_fonts_there_are_none(folder):
    assert fonts.font_files() == ()


def test_what_can_not_be_drawn_is_escaped():
    assert fonts.escaped("字\x00") == r"\u5b57\x00"
