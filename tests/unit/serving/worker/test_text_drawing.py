"""Names in scripts that Pillow's own font lacks: drawn by a font that has them, or escaped; never as boxes."""

from __future__ import annotations

import io
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, features

from fastai_serving.worker import text_drawing
from fastai_serving.worker.heat_map import PANEL, STEPS, draw
from fastai_serving.worker.text_drawing import line, pieces

NAMES = ["柴犬", "고양이", "ねこ", "قطة", "חתול", "แมวน้ำ", "बिल्ली", "кошка", "🐈", "Pug"]


@pytest.fixture
def no_fonts(monkeypatch):
    monkeypatch.setattr(text_drawing, "font_files", lambda: ())


@pytest.fixture
def dejavu(monkeypatch) -> Path:
    """matplotlib brings it: a font with Cyrillic, Arabic and Hebrew letters, without Chinese."""
    matplotlib = pytest.importorskip("matplotlib")
    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    monkeypatch.setattr(text_drawing, "font_files", lambda: (path,))
    return path


def test_what_no_font_has_is_escaped(no_fonts):
    assert pieces("字 cat…") == [(r"\u5b57 cat…", None)]
    assert pieces("🐈") == [(r"\U0001f408", None)]
    for name in NAMES:
        assert "".join(text for text, _ in pieces(name)).isascii()


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a\nb", r"a\nb"),
        ("a\tb\x00\x1b", r"a\tb\x00\x1b"),
        ("a\u2028b", r"a\u2028b"),
        ("e\u0301", "é"),
        ("\ud800", r"\ud800"),
    ],
)
def test_what_is_no_letter_is_escaped_and_marks_are_composed(name, shown, dejavu):
    assert "".join(text for text, _ in pieces(name)) == shown


def test_a_font_is_taken_where_it_is_needed(dejavu):
    assert pieces("Pug, кошка") == [("Pug, ", None), ("кошка", dejavu)]
    assert "".join(text for text, _ in pieces("кошка 字")) == r"кошка \u5b57"


@pytest.mark.skipif(not features.check("raqm"), reason="Pillow finds no FriBidi here")
def test_right_to_left(dejavu):
    assert pieces("قطة") == [("قطة", dejavu)]
    assert pieces("חתול") == [("חתול", dejavu)]
    assert [text for text, _ in line("חתול字", 15).parts] == [r"\u5b57", "חתול"]


def test_what_needs_shaping_is_escaped_where_nothing_shapes(dejavu, monkeypatch):
    monkeypatch.setattr(text_drawing, "_shapes", lambda: False)
    assert pieces("قط") == [(r"\u0642\u0637", None)]
    assert pieces("кошка") == [("кошка", dejavu)]


@pytest.mark.parametrize(
    "name", ["W" * 5000, "字" * 300, "кошка " * 80, "i" * 200, "חתול " * 50, "a\u0301" * 500, "…", " "]
)
@pytest.mark.parametrize("width", [60, 204, 268])
def test_a_line_is_cut_to_its_width(dejavu, name, width):
    cut = line(name, 24, width)
    assert cut.length <= width
    text = "".join(part for part, _ in cut.parts)
    whole = line(name[:200], 24)
    if whole.length > width or len(name) > 200:
        assert "…" in text
    else:
        assert cut == whole


def test_a_whole_line_is_drawn_within_its_place(dejavu):
    picture = Image.new("L", (400, 60), 255)
    text = line("Pug, кошка, حصان", 24)
    text.draw(ImageDraw.Draw(picture), 10, 10, 0)  # type: ignore[arg-type]
    dark = np.argwhere(np.asarray(picture) < 128)
    assert dark[:, 1].min() >= 8
    assert dark[:, 1].max() <= 12 + text.length
    assert dark[:, 0].min() >= 8
    assert dark[:, 0].max() <= 10 + 24 * 1.5


def test_every_name_is_drawn_apart(no_fonts):
    """Escaped names differ from each other; boxes would not."""
    panels = set()
    for name in NAMES:
        predictions = [{"class": name, "confidence": 0.5}]
        drawn = draw(Image.new("RGB", (64, 64)), np.zeros((STEPS, STEPS), np.float32), predictions)
        answer = Image.open(io.BytesIO(drawn))
        panels.add(answer.crop((answer.width - PANEL, 0, answer.width, 60)).tobytes())
    assert len(panels) == len(NAMES)
    assert unicodedata.normalize("NFC", NAMES[0]) == NAMES[0]
