"""The report's pictures, as PNG."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

#: With more classes than this, numbers in the cells of a confusion matrix can't be read.
MOST_NUMBERED = 20
TILE = 160


def _png(figure: Figure) -> bytes:
    for text in figure.findobj(Text):
        if isinstance(text, Text):
            text.set_parse_math(False)  # a class may be called $x$
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
    names = [name if len(name) <= 28 else name[:27] + "…" for name in vocab]
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
