from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from fastai_serving.worker.heat_map import STEPS, draw, fit, heat_map

SIZE = 32


def predict(pictures: np.ndarray) -> np.ndarray:
    """Class 1 in proportion to the brightness of the picture's upper left quarter."""
    bright = pictures[:, : SIZE // 2, : SIZE // 2].mean(axis=(1, 2, 3)) / 256
    return np.stack([1 - bright, bright], axis=1).astype(np.float32)


def test_heat_is_what_decides():
    heat = heat_map(predict, np.full((SIZE, SIZE, 3), 10, np.uint8) + np.eye(SIZE, dtype=np.uint8)[..., None], 0)
    assert heat.shape == (STEPS, STEPS)
    bright = np.zeros((SIZE, SIZE, 3), np.uint8)
    bright[: SIZE // 2, : SIZE // 2] = 255
    heat = heat_map(predict, bright, 1)
    assert heat.max() == pytest.approx(1)
    half = STEPS // 2
    assert heat[: half - 1, : half - 1].mean() > 0.5
    assert heat[half + 1 :, half + 1 :].max() == 0


@pytest.mark.parametrize("size", [(10, 300), (300, 10), (64, 64), (1, 1)])
def test_any_shape_is_drawn(size):
    predictions = [{"class": "a very long name of a class, longer than the panel" * 2, "confidence": 1.0}]
    predictions += [{"class": str(index), "confidence": 0.0} for index in range(9)]
    drawn = draw(fit(Image.new("RGB", size, "green")), np.zeros((STEPS, STEPS), np.float32), predictions)
    assert Image.open(io.BytesIO(drawn)).height == 448
