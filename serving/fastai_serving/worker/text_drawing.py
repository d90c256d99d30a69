"""Draw lines of text in any script with Pillow.

Pillow draws a text in one font, and a box for each character that the font lacks. So a text is cut into pieces where
another font is needed. Within a piece, libraqm shapes the letters and orders those written from right to left. It needs
FriBidi when it is loaded. Without libraqm, characters that need it are escaped, like those that no font has.
"""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import ImageDraw, ImageFont, features

from fastai_container.fonts import escaped, font_files

#: Characters of a text that are looked at; no line has room for more.
_MOST = 200
#: A noncharacter, which no font has. A character that is drawn like it is missing from the font.
_NO_CHARACTER = "\U0010fffe"
_PROBE_SIZE = 16
_MARKS = ("Mn", "Mc", "Me", "Cf")


@functools.cache
def _shapes() -> bool:
    return bool(features.check("raqm"))


@functools.lru_cache(maxsize=256)
def _font(path: Path | None, size: int) -> Any:
    """Load the font at ``path``, or Pillow's own (Latin letters only) for None."""
    return ImageFont.load_default(size=size) if path is None else ImageFont.truetype(str(path), size)


def _drawn(path: Path | None, text: str) -> tuple[tuple[int, int], bytes]:
    mask = _font(path, _PROBE_SIZE).getmask(text)
    return mask.size, bytes(mask)


@functools.lru_cache(maxsize=8192)
def _has(path: Path | None, character: str) -> bool:
    try:
        return _drawn(path, character) != _drawn(path, _NO_CHARACTER)
    except (OSError, ValueError):  # a file that is no font, or half a surrogate pair
        return False


def _right_to_left(character: str) -> bool:
    return unicodedata.bidirectional(character) in ("R", "AL")


def _clusters(text: str) -> Iterator[str]:
    """Yield each character together with the marks that belong to it."""
    cluster = ""
    for character in text:
        if cluster and unicodedata.category(character) not in _MARKS:
            yield cluster
            cluster = ""
        cluster += character
    if cluster:
        yield cluster


def _can_draw(path: Path | None, cluster: str) -> bool:
    if unicodedata.category(cluster[0]) in ("Cc", "Cs", "Zl", "Zp"):
        return False  # line ends, control characters and half surrogate pairs are always escaped
    if not _shapes() and (len(cluster) > 1 or _right_to_left(cluster[0])):
        return False
    return all(_has(path, character) for character in cluster if unicodedata.category(character) != "Cf")


def pieces(text: str) -> list[tuple[str, Path | None]]:
    """Cut ``text`` where the font changes; return each piece with its font. What no font has is escaped."""
    found: list[tuple[str, Path | None]] = []
    for cluster in _clusters(unicodedata.normalize("NFC", text)):
        before = found[-1][1] if found else None
        choices = (before, None, *font_files())
        path = next((choice for choice in choices if _can_draw(choice, cluster)), None)
        shown = cluster if _can_draw(path, cluster) else escaped(cluster)
        if found and path == before:
            found[-1] = (found[-1][0] + shown, path)
        else:
            found.append((shown, path))
    return found


@dataclass(frozen=True)
class Line:
    """A line of text in one ``size`` (pixels): its pieces from left to right, each with its font."""

    parts: tuple[tuple[str, Any], ...]
    size: int

    @property
    def length(self) -> float:
        """The line's width in pixels."""
        return sum(font.getlength(text) for text, font in self.parts)

    def draw(self, pen: ImageDraw.ImageDraw, left: float, top: float, fill: tuple[int, int, int]) -> None:
        """Draw on ``pen``'s picture. Fonts differ in height, so all pieces share the base line of Pillow's own font."""
        base = top + _font(None, self.size).getmetrics()[0]
        for text, font in self.parts:
            pen.text((left, base), text, font=font, fill=fill, anchor="ls")
            left += font.getlength(text)


def _line(text: str, size: int) -> Line:
    cut = pieces(text)
    first = next((c for c in text if unicodedata.bidirectional(c) in ("L", "R", "AL")), "")
    if first and _right_to_left(first):
        cut.reverse()
    return Line(tuple((part, _font(path, size)) for part, path in cut), size)


def line(text: str, size: int, width: float | None = None) -> Line:
    """Make a line of ``text``. One that is wider than ``width`` (pixels) is cut to fit and ends with an ellipsis."""
    whole = _line(text[:_MOST], size)
    if width is None or (len(text) <= _MOST and whole.length <= width):
        return whole
    low, high = 0, min(len(text), _MOST)
    while low < high:  # the most characters that fit
        middle = (low + high + 1) // 2
        if _line(text[:middle].rstrip() + "…", size).length <= width:
            low = middle
        else:
            high = middle - 1
    return _line(text[:low].rstrip() + "…", size)
