"""Fonts for what the user named: a class may be called in any script, and no font has the characters of all."""

from __future__ import annotations

import functools
from pathlib import Path

#: Where Debian's packages put them.
FOLDERS = (Path("/usr/share/fonts"), Path("/usr/share/fonts-droid-fallback"))
#: Which are used, the first that has a character: Latin, Greek and Cyrillic; then Chinese, Japanese and Korean; then a
#: font for each other script.
_PATTERNS = (
    "NotoSans-Regular.ttf",
    "DroidSansFallback.ttf",
    "DroidSansFallbackFull.ttf",
    "NotoSansCJK-Regular.ttc",
    "DejaVuSans.ttf",
    "NotoSans[A-Z]*-Regular.ttf",
)


@functools.cache
def font_files() -> tuple[Path, ...]:
    """The fonts of this machine that may be used, in the order in which they are asked for a character."""
    found = [path for folder in FOLDERS if folder.is_dir() for path in sorted(folder.rglob("*.tt[fc]"))]
    order = {path: rank for rank, pattern in enumerate(_PATTERNS) for path in found if path.match(pattern)}
    return tuple(sorted(order, key=lambda path: (order[path], path.name)))


def escaped(text: str) -> str:
    """``text`` for where it can't be drawn: ``\\\\u5b57``, as Python and JSON write it."""
    return text.encode("unicode_escape").decode("ascii")
