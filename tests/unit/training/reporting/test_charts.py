from __future__ import annotations

import warnings

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("matplotlib")

from fastai_training.reporting import charts

NAMES = [
    "柴犬 shiba",
    "고양이",
    "ねこ",
    "قطة",
    "חתול (2)",
    "แมวน้ำ",
    "बिल्ली",
    "кошка",
    "🐈",
    "$x^2$",
    "a\tb\x00",
    "e\u0301",
]


@pytest.mark.parametrize("fonts", [(), None])
def test_charts_of_names_in_every_script_have_no_boxes(monkeypatch, fonts):
    if fonts is not None:
        monkeypatch.setattr(charts, "font_files", lambda: fonts)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # matplotlib warns of each glyph that it draws as a box
        assert charts.confusion_matrix(np.eye(len(NAMES), dtype=int), NAMES)
        assert charts.contact_sheet([(Image.new("RGB", (160, 160)), f"{name} 90%\nis {name}") for name in NAMES])


def test_what_no_font_has_is_escaped_in_charts(monkeypatch):
    monkeypatch.setattr(charts, "font_files", lambda: ())
    assert charts._lettering("字 90%\nis cat")[0] == "\\u5b57 90%\nis cat"
    assert charts._lettering("a\x00")[0] == "a\\x00"
    monkeypatch.setattr(charts, "_SHAPES", False)
    assert charts._lettering("חתול кошка")[0] == "\\u05d7\\u05ea\\u05d5\\u05dc кошка"
