"""Read a picture as the model sees it: the same code decodes and resizes in training and in serving.

How a picture is resized moves an answer more than the arithmetic's precision does, so there is one way to do it.
A large JPEG is decoded at a half, a quarter or an eighth of its size by the decoder itself (libjpeg's scaled inverse
DCT), never below ``DECODE_MARGIN`` times the size that is asked for.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from pathlib import Path

import numpy as np
from PIL import (  # the plug-ins of FORMATS: Image.open knows a format only once its plug-in is imported
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageOps,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)

from fastai_container.resources import MAX_PIXELS

#: Pictures that Pillow decodes in-process by well-kept libraries; no EPS (it starts Ghostscript), no PDF, no video.
FORMATS = tuple(
    plugin.format
    for plugin in (
        JpegImagePlugin.JpegImageFile,
        PngImagePlugin.PngImageFile,
        WebPImagePlugin.WebPImageFile,
        GifImagePlugin.GifImageFile,
        BmpImagePlugin.BmpImageFile,
        TiffImagePlugin.TiffImageFile,
        PpmImagePlugin.PpmImageFile,
    )
)
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm"})
#: Decode to at least this many times the side that is needed, so that the resize still averages over pixels.
DECODE_MARGIN = 2

# Our own limit is checked from the header; Pillow's would only warn, and at another number.
Image.MAX_IMAGE_PIXELS = None


class PictureError(ValueError):
    """A picture that can't be used. ``code``: not_an_image, truncated or too_many_pixels."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def open_picture(
    source: bytes | bytearray | Path, side: int | None = None, max_pixels: int = MAX_PIXELS
) -> Image.Image:
    """The first frame of a picture as upright RGB.

    ``source`` is a file's path or its bytes. ``side`` (pixels) is the square that it will be resized to; a JPEG is
    then decoded no larger than that needs. Alpha is laid over white.

    Raises PictureError when it is not a picture, is cut short or damaged, or has more than ``max_pixels`` pixels.
    """
    stream = io.BytesIO(source) if isinstance(source, bytes | bytearray) else source
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a corrupt EXIF block is no reason to refuse the pixels
            with Image.open(stream, formats=FORMATS) as image:
                if image.width * image.height > max_pixels:
                    raise PictureError(
                        "too_many_pixels",
                        f"the picture has {image.width}x{image.height} pixels; at most {max_pixels:,} are accepted",
                    )
                if side is not None:
                    # No effect on anything but a JPEG.
                    image.draft(None, (side * DECODE_MARGIN, side * DECODE_MARGIN))
                image.load()
                return _upright_rgb(image)
    except PictureError:
        raise
    except UnidentifiedImageError:
        raise PictureError(
            "not_an_image", "not a picture in a format that is read here (JPEG, PNG, WebP, GIF, BMP, TIFF)"
        ) from None
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, ArithmeticError, KeyError, TypeError) as error:
        # What Pillow's decoders raise on damaged files. A path that can't be opened is an OSError with an errno.
        if isinstance(error, OSError) and error.errno is not None:
            raise PictureError("not_an_image", f"can't be read: {error.strerror}") from None
        raise PictureError("truncated", f"the picture is cut short or damaged ({error})") from None


def _upright_rgb(image: Image.Image) -> Image.Image:
    with contextlib.suppress(Exception):  # whatever a broken EXIF block raises, the pixels are good
        image = ImageOps.exif_transpose(image)
    if image.mode == "RGB":
        return image
    if image.mode.startswith("I"):  # 16-bit grey ("I;16", or "I" from a PNG): Pillow's own conversion clips at 255
        values = np.asarray(image, dtype=np.int64).clip(0, 65535) >> 8
        return Image.fromarray(values.astype(np.uint8)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image.convert("RGB")


def center_square(image: Image.Image, size: int) -> Image.Image:
    """The largest centred square of ``image``, resized to ``size`` x ``size`` pixels (bilinear, antialiased)."""
    width, height = image.size
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    return image.resize((size, size), Image.Resampling.BILINEAR, box=(left, top, left + side, top + side))


def model_input(source: bytes | bytearray | Path, size: int, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """What the model is given for a picture: uint8 RGB, shape (size, size, 3). Raises PictureError."""
    return np.asarray(center_square(open_picture(source, size, max_pixels), size))
