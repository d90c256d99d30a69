"""The response as a picture: what was seen, which parts of it decided, and the classes.

The heat map is made by occlusion (Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", 2014,
section 4.2): a grey square is moved over the picture, and where it lowers the class's odds the model was looking. It
needs nothing but the compiled model itself, so it holds for every architecture.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from fastai_serving.worker.text_drawing import line

#: Positions of the grey square along each side, and its side in steps.
STEPS = 8
SQUARE_STEPS = 2
#: Pictures of one forward pass.
BATCH = 8
#: Pixels of the response.
HEIGHT, PANEL, MARGIN, ROW = 448, 300, 16, 56
TITLE, SMALL = 24, 15
MAX_ASPECT = 2.5
SHOWN = 5
_EPSILON = 1e-6
#: From cold to hot, where heat is 0, 1/3, 2/3 and 1.
_COLOURS = np.array([(30, 40, 140), (30, 170, 170), (250, 210, 60), (215, 40, 30)], dtype=np.float32)


def _log_odds(probability: np.ndarray) -> np.ndarray:
    clipped = probability.astype(np.float64).clip(_EPSILON, 1 - _EPSILON)
    return np.log(clipped / (1 - clipped))


def heat_map(predict: Callable[[np.ndarray], np.ndarray], picture: np.ndarray, index: int) -> np.ndarray:
    """Where ``predict`` looks for class ``index``: float32 (STEPS, STEPS), 0 to 1.

    ``picture``: uint8 (size, size, 3); ``predict`` as a backend's.
    """
    size = picture.shape[0]
    step = size / STEPS
    reach = step * SQUARE_STEPS / 2
    grey = picture.reshape(-1, 3).mean(axis=0).astype(np.uint8)
    covered = []
    for row in range(STEPS):
        for column in range(STEPS):
            y, x = (row + 0.5) * step, (column + 0.5) * step
            copy = picture.copy()
            top, bottom, left, right = (
                round(min(size, max(0, edge))) for edge in (y - reach, y + reach, x - reach, x + reach)
            )
            copy[top:bottom, left:right] = grey
            covered.append(copy)
    before = _log_odds(predict(picture[None])[:, index])
    after = np.concatenate(
        [
            _log_odds(predict(np.stack(covered[start : start + BATCH]))[:, index])
            for start in range(0, len(covered), BATCH)
        ]
    )
    drop = (before - after).clip(0).reshape(STEPS, STEPS)
    return (drop / max(drop.max(), _EPSILON)).astype(np.float32)


def _coloured(heat: np.ndarray) -> np.ndarray:
    position = heat * (len(_COLOURS) - 1)
    low = np.minimum(position.astype(int), len(_COLOURS) - 2)
    share = (position - low)[..., None]
    return _COLOURS[low] * (1 - share) + _COLOURS[low + 1] * share


def _overlay(picture: Image.Image, heat: np.ndarray) -> Image.Image:
    """``picture`` with the heat over the centred square that the model was given; the rest is dimmed."""
    width, height = picture.size
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    pixels = np.asarray(picture, dtype=np.float32) * 0.45
    smooth = Image.fromarray((heat * 255).astype(np.uint8)).resize((side, side), Image.Resampling.BICUBIC)
    warmth = np.asarray(smooth, dtype=np.float32) / 255
    inside = np.asarray(picture, dtype=np.float32)[top : top + side, left : left + side]
    share = (0.15 + 0.45 * warmth)[..., None]
    pixels[top : top + side, left : left + side] = inside * (1 - share) + _coloured(warmth) * share
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def fit(picture: Image.Image) -> Image.Image:
    """``picture`` as large as it is shown: what waits for a batch shall not hold more."""
    aspect = min(MAX_ASPECT, max(1 / MAX_ASPECT, picture.width / picture.height))
    return picture.resize((round(HEIGHT * aspect), HEIGHT), Image.Resampling.BILINEAR)


def draw(shown: Image.Image, heat: np.ndarray, predictions: list[dict[str, Any]]) -> bytes:
    """A PNG: ``shown`` (RGB, from ``fit``) under its heat map, beside its best classes with their confidence."""
    canvas = Image.new("RGB", (shown.width + PANEL, HEIGHT), (250, 250, 248))
    canvas.paste(_overlay(shown, heat), (0, 0))
    pen = ImageDraw.Draw(canvas)
    left, width = shown.width + MARGIN, PANEL - 2 * MARGIN
    best = predictions[0]
    line(best["class"], TITLE, width).draw(pen, left, MARGIN, (20, 20, 20))
    line(f"{best['confidence']:.1%} confidence", SMALL).draw(pen, left, MARGIN + 32, (90, 90, 90))
    for row, item in enumerate(predictions[:SHOWN]):
        top = MARGIN + 76 + row * ROW
        value = line(f"{item['confidence']:.1%}", SMALL)
        line(item["class"], SMALL, width - 64).draw(pen, left, top, (40, 40, 40))
        value.draw(pen, left + width - value.length, top, (40, 40, 40))
        pen.rectangle((left, top + 22, left + width, top + 30), fill=(226, 226, 222))
        if item["confidence"] > 0:
            filled = max(1, round(width * item["confidence"]))
            pen.rectangle(
                (left, top + 22, left + filled, top + 30), fill=(215, 40, 30) if row == 0 else (110, 130, 160)
            )
    strip = np.broadcast_to(np.linspace(0, 1, width, dtype=np.float32), (10, width))
    bottom = HEIGHT - MARGIN - 10
    canvas.paste(Image.fromarray(_coloured(strip).astype(np.uint8)), (left, bottom))
    line("looked at little", SMALL).draw(pen, left, bottom - 22, (90, 90, 90))
    much = line("much", SMALL)
    much.draw(pen, left + width - much.length, bottom - 22, (90, 90, 90))
    stream = io.BytesIO()
    canvas.save(stream, "PNG", compress_level=3)
    return stream.getvalue()
