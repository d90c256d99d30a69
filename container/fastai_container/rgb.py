"""Any picture's pixels as 8-bit RGB: transparency over white, more than 8 bits by the range that the file tells.

It works on strips, so that a large picture is never there in three forms at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin, PpmImagePlugin, TiffImagePlugin

from fastai_container.errors import PictureError

STRIP_PIXELS = 1 << 18
#: Values below it in a file of 16 bits are hardly a picture of 16 bits: scanners and microscopes write 12 of them so.
_TWELVE_BITS = 1 << 12
_FULL = 0xFFFF
_ALPHA = ("RGBA", "LA", "PA", "La", "RGBa")
#: Tags of TIFF.
_BITS, _PHOTOMETRIC, _MAXIMUM, _SMINIMUM, _SMAXIMUM = 258, 262, 281, 340, 341
_WHITE_IS_ZERO = 0
#: Chunks of a PNG before its pixels; ordinary files have ten or so.
_MOST_CHUNKS = 1000


@dataclass(frozen=True)
class Depth:
    """What a file says of its values: ``bits`` of each; ``low`` and ``high``, the values of black and white, where it
    tells them; ``significant`` bits of a PNG (its chunk sBIT); ``inverted``: 0 is white."""

    bits: int = 8
    low: float | None = None
    high: float | None = None
    significant: int | None = None
    inverted: bool = False


def _significant_bits(body: bytes) -> int | None:
    """The least number in a PNG's sBIT chunk; None where there is none."""
    place = 8
    for _ in range(_MOST_CHUNKS):
        length, name = int.from_bytes(body[place : place + 4], "big"), body[place + 4 : place + 8]
        if name == b"sBIT" and 0 < length <= 4:
            return min(body[place + 8 : place + 8 + length], default=None)
        if name in (b"IDAT", b"IEND", b""):
            return None
        place += 12 + length
    return None


def _number(value: Any) -> float | None:
    """A TIFF tag's number, or the first of several; None where there is none."""
    value = value[0] if isinstance(value, tuple) and value else value
    try:
        return float(value)
    except (TypeError, ValueError, ArithmeticError):
        return None


def read_depth(image: Image.Image, body: bytes) -> Depth:
    """What the header of an opened picture says; ``body`` is its file."""
    if isinstance(image, PngImagePlugin.PngImageFile):
        bits = body[24]  # of IHDR, which comes first
        return Depth(bits, significant=_significant_bits(body) if bits == 16 else None)
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        tags: Any = image.tag_v2
        low, high = _number(tags.get(_SMINIMUM)), _number(tags.get(_SMAXIMUM))
        bits = int(_number(tags.get(_BITS)) or 1)
        # MaxSampleValue is a statistic, unless it is what so many bits can hold.
        most = _number(tags.get(_MAXIMUM)) if high is None else None
        if most is not None and 1 < most < _FULL and (int(most) + 1).bit_count() == 1:
            low, high = low or 0.0, most
        if high is None and 8 < bits < 16:
            low, high = low or 0.0, float((1 << bits) - 1)
        return Depth(bits, low, high, inverted=tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO)
    if isinstance(image, PpmImagePlugin.PpmImageFile) and image.mode == "I":
        return Depth(16, 0.0, float(_FULL))  # Pillow has scaled what the header calls white to it
    return Depth()


def _strips(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """The picture in strips of its whole width, each with the row that it begins at."""
    rows = max(1, STRIP_PIXELS // image.width)
    if rows >= image.height:
        yield 0, image
        return
    for top in range(0, image.height, rows):
        yield top, image.crop((0, top, image.width, min(image.height, top + rows)))


def _over_white(image: Image.Image) -> Image.Image:
    whole = Image.new("RGB", image.size)
    for top, strip in _strips(image):
        rgba = strip.convert("RGBA")
        whole.paste(Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB"), (0, top))
    return whole


def _unsupported(text: str) -> PictureError:
    return PictureError("unsupported_depth", f"{text}; save it with 8 bits for each value")


def _range(image: Image.Image, depth: Depth) -> tuple[float, float] | None:
    """The values that are black and white in a picture of one band; None: 0 and 65535, of which the upper 8 bits are
    taken.

    Raises PictureError when the file doesn't say, or has values that are none.
    """
    if depth.high is not None:
        low = depth.low or 0.0
        if not np.isfinite([low, depth.high]).all() or depth.high <= low:
            raise _unsupported(f"the picture says that its values go from {low:g} to {depth.high:g}")
        return None if (low, depth.high) == (0, _FULL) and image.mode != "F" else (low, depth.high)
    least, most = np.inf, -np.inf
    for _, strip in _strips(image):
        values = np.asarray(strip)
        least, most = np.minimum(least, values.min()), np.maximum(most, values.max())  # NaN if one value is
    if image.mode == "F":
        if not (least >= 0 and most <= 1):  # nor is NaN
            raise _unsupported(
                f"the picture has floating-point values from {least:g} to {most:g} and doesn't say which of them are "
                "black and white (SMinSampleValue, SMaxSampleValue); only 0 to 1 goes without saying"
            )
        return 0.0, 1.0
    if not image.mode.startswith("I;16"):
        raise _unsupported(
            f"the picture has values of {depth.bits} bits from {int(least)} to {int(most)} and doesn't say which of "
            "them are black and white (SMinSampleValue, SMaxSampleValue)"
        )
    if depth.significant is not None and 0 < depth.significant < 16 and most < 1 << depth.significant:
        return 0.0, float((1 << depth.significant) - 1)
    if 0 < most < _TWELVE_BITS and depth.significant is None:
        raise _unsupported(_dark(int(most)))
    return None


def _dark(most: int) -> str:
    return (
        f"the picture has 16 bits for each value, but none is above {most} of 65535, and it doesn't say that fewer "
        "bits are meant (a PNG's sBIT, a TIFF's BitsPerSample or SMaxSampleValue)"
    )


def _scaled(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """``low`` to ``high`` as 0 to 255, uint8; what lies beyond is black or white."""
    exact: Any = values.astype(np.float32 if values.itemsize <= 2 or values.dtype == np.float32 else np.float64)
    exact -= low
    exact *= 255
    exact /= high - low
    np.clip(exact, 0, 255, out=exact)
    scaled: np.ndarray = np.rint(exact, out=exact).astype(np.uint8)
    return scaled


def _deep_to_rgb(image: Image.Image, depth: Depth) -> Image.Image:
    """A picture of one band of more than 8 bits."""
    limits = _range(image, depth)
    transparent = image.info.get("transparency")
    whole = Image.new("RGB", image.size)
    for top, strip in _strips(image):
        values = np.asarray(strip)
        grey = (values >> 8).astype(np.uint8) if limits is None else _scaled(values, *limits)
        if depth.inverted:
            grey = 255 - grey
        if isinstance(transparent, int):
            grey[values == transparent] = 255
        whole.paste(Image.fromarray(grey).convert("RGB"), (0, top))
    return whole


def _in_8_bits(image: Image.Image, depth: Depth) -> None:
    """The colour that a PNG calls transparent, as Pillow has scaled the pixels."""
    transparent = image.info.get("transparency")
    if isinstance(transparent, tuple) and depth.bits == 16:
        image.info["transparency"] = tuple(value >> 8 for value in transparent)
    elif isinstance(transparent, int) and image.mode == "L" and depth.bits < 8:
        image.info["transparency"] = transparent * 255 // ((1 << depth.bits) - 1)


def to_rgb(image: Image.Image, depth: Depth) -> Image.Image:
    """A loaded picture as RGB; ``image`` itself when it is that already.

    Raises PictureError (unsupported_depth) when it has more than 8 bits for a value and the file doesn't say which
    values are black and white.
    """
    if image.mode.startswith(("I", "F")):
        return _deep_to_rgb(image, depth)
    _in_8_bits(image, depth)
    if depth.bits == 16:  # Pillow has dropped the lower 8 bits of each
        extremes: Any = image.getextrema()
        bands = len(image.getbands())  # of one band getextrema gives a pair, of several a pair for each
        most = extremes[1] if bands == 1 else max(high for _, high in extremes[: 3 if bands > 2 else 1])
        if 0 < most < _TWELVE_BITS >> 8:
            raise _unsupported(_dark((most << 8) + 255))
    if image.mode in _ALPHA or "transparency" in image.info:
        return _over_white(image)
    return image if image.mode == "RGB" else image.convert("RGB")
