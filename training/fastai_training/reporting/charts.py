"""The report's pictures, as PNG."""

from __future__ import annotations

import functools
import io
import math
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import font_manager, ft2font
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from fastai_container.fonts import escaped, font_files

#: With more classes than this, numbers in the cells of a confusion matrix can't be read.
MOST_NUMBERED = 20
TILE = 160


#: matplotlib's own, which comes with it; and whether it orders and shapes text (since 3.11).
_OWN = "DejaVu Sans"
_SHAPES = hasattr(ft2font, "__libraqm_version__")


@functools.cache
def _characters(path: str) -> frozenset[int]:
    return frozenset(font_manager.get_font(path).get_charmap())


@functools.cache
def _family(path: Path) -> str:
    """The name that matplotlib knows the font by, from now on."""
    font_manager.fontManager.addfont(str(path))
    return font_manager.FontProperties(fname=str(path)).get_name()


def _lettering(text: str) -> tuple[str, list[str]]:
    """``text`` as it can be drawn, and the families of fonts that it needs; what none of them has is escaped."""
    own = _characters(font_manager.findfont(_OWN))
    shown, families = [], [_OWN]
    for character in unicodedata.normalize("NFC", text):
        needs_shaping = unicodedata.bidirectional(character) in ("R", "AL", "NSM")
        if character == "\n" or (ord(character) in own and (_SHAPES or not needs_shaping)):
            shown.append(character)
            continue
        usable = font_files() if _SHAPES or not needs_shaping else ()
        path = next((path for path in usable if ord(character) in _characters(str(path))), None)
        shown.append(escaped(character) if path is None else character)
        if path is not None and _family(path) not in families:
            families.append(_family(path))
    return "".join(shown), families


def _png(figure: Figure) -> bytes:
    for text in figure.findobj(Text):
        if isinstance(text, Text):
            text.set_parse_math(False)  # a class may be called $x$
            content, families = _lettering(text.get_text())
            text.set_text(content)
            text.set_fontfamily(families)
    buffer = io.BytesIO()
    # No date and no version in it: the same run gives the same bytes.
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()


def curves(history: list[dict[str, float]]) -> bytes:
    """Losses and error rate by epoch."""
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    losses, errors = figure.subplots(1, 2)
    epochs = [row["epoch"] for row in history]
    for name, axes in (("train_loss", losses), ("valid_loss", losses), ("error_rate", errors)):
        axes.plot(epochs, [row.get(name, math.nan) for row in history], marker="o", markersize=3, label=name)
    for axes, title in ((losses, "loss"), (errors, "error rate on the validation pictures")):
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("epoch")
        axes.grid(alpha=0.3)
        axes.xaxis.get_major_locator().set_params(integer=True)
    losses.legend()
    errors.set_ylim(bottom=0)
    return _png(figure)


def confusion_matrix(confusion: np.ndarray, vocab: list[str]) -> bytes:
    """Shares of each true class (rows) by predicted class (columns)."""
    count = len(vocab)
    side = min(24.0, max(4.0, 0.26 * count + 2.0))
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    totals = confusion.sum(axis=1, keepdims=True)
    shares = np.divide(confusion, totals, out=np.zeros(confusion.shape), where=totals > 0)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    # Here, and not only in _png: an axis writes its labels anew when it is drawn.
    names = [_lettering(name if len(name) <= 28 else name[:27] + "…")[0] for name in vocab]
    size = 8 if count <= 60 else 4
    axes.set_xticks(range(count), names, rotation=90, fontsize=size)
    axes.set_yticks(range(count), names, fontsize=size)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    if count <= MOST_NUMBERED:
        for row, column in np.argwhere(confusion):
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, str(confusion[row, column]), ha="center", va="center", color=colour, fontsize=8)
    return _png(figure)


def contact_sheet(tiles: list[tuple[Image.Image, str]]) -> bytes:
    """Pictures of TILE pixels in rows, each with a caption below."""
    columns = min(6, max(1, len(tiles)))
    rows = max(1, math.ceil(len(tiles) / columns))
    figure = Figure(figsize=(1.9 * columns, 2.3 * rows), layout="constrained")
    grid: Any = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    for axes, (image, caption) in zip(grid.flat, tiles, strict=False):
        axes.imshow(np.asarray(image))
        axes.set_title(caption, fontsize=7)
    return _png(figure)
