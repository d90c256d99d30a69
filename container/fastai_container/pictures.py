"""Read a picture as the model sees it: the same code decodes and resizes in training and in serving.

Resizing changes predictions more than numeric precision does, so training and serving share this code.
A large JPEG is decoded at a half, a quarter or an eighth of its size by the decoder itself (libjpeg's scaled inverse
DCT), never below ``DECODE_MARGIN`` times the size that is asked for.
"""

from __future__ import annotations

import contextlib
import os
import stat
import warnings
from pathlib import Path

import numpy as np
from PIL import (  # the plug-ins of FORMATS: Image.open knows a format only once its plug-in is imported
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)

from fastai_container import libtiff
from fastai_container.cost import Limits, MeteredBytes, check_memory, check_scans, check_webp
from fastai_container.errors import PictureError
from fastai_container.picture_limits import MAX_PICTURE_BYTES, MAX_PIXELS
from fastai_container.rgb import read_depth, to_rgb

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
SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm"})
#: Decode to at least this many times the side that is needed, so that the resize still averages over pixels.
DECODE_MARGIN = 2

# Our own limit is checked from the header; Pillow's would only warn, and at another number.
Image.MAX_IMAGE_PIXELS = None
libtiff.configure()


#: What turns a picture upright, by the value of the EXIF tag Orientation.
_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def _read_file(path: Path, most: int) -> bytes:
    """Raises OSError, or PictureError for what is no regular file (a named pipe would never end) or has more bytes."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise PictureError("not_an_image", "not a regular file")
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        body = file.read(most + 1)
    if len(body) > most:
        raise PictureError("too_many_pixels", f"the file has more than {most // 2**20} MB")
    return body


def open_picture(
    source: bytes | bytearray | Path,
    side: int | None = None,
    max_pixels: int = MAX_PIXELS,
    max_bytes: int = MAX_PICTURE_BYTES,
) -> Image.Image:
    """The first frame of a picture as upright RGB.

    ``source`` is a file's path or its bytes. ``side`` (pixels) is the square that it will be resized to; a JPEG is
    then decoded no larger than that needs. Transparency is laid over white.

    Raises PictureError when it is not a picture, is cut short or damaged, has more than ``max_pixels`` pixels, needs
    more than ``max_bytes`` of memory or too much time to decode, or doesn't say what its values mean.
    """
    return _guarded(source, side, side, Limits(max_pixels, max_bytes))


def check_picture(source: Path, side: int, max_pixels: int = MAX_PIXELS, max_bytes: int = MAX_PICTURE_BYTES) -> None:
    """Raises PictureError when ``open_picture`` would; all of the file is read, but a JPEG decoded at its smallest."""
    _guarded(source, side, 1, Limits(max_pixels, max_bytes))


def _guarded(source: bytes | bytearray | Path, side: int | None, decoded: int | None, limits: Limits) -> Image.Image:
    """``open_picture`` within the limits of a picture for ``side``, decoded for a side of ``decoded``."""
    try:
        body = _read_file(source, limits.memory) if isinstance(source, Path) else bytes(source)
        held = len(body) if isinstance(source, Path) else 0  # a request's body is there anyway
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a corrupt EXIF block is no reason to refuse the pixels
            picture, orientation = _decode(body, side, decoded, limits, held)
            method = _UPRIGHT.get(orientation)
            return picture if method is None else picture.transpose(method)
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


def _drafted(image: Image.Image, side: int | None) -> tuple[int, int]:
    """The size that ``image`` is decoded to for a square of ``side`` pixels."""
    width, height = image.size
    if side is None or not isinstance(image, JpegImagePlugin.JpegImageFile):
        return width, height
    scale = min(width, height) // (side * DECODE_MARGIN)
    divisor = next((number for number in (8, 4, 2) if scale >= number), 1)
    return -(-width // divisor), -(-height // divisor)


def _decode(body: bytes, side: int | None, decoded: int | None, limits: Limits, held: int) -> tuple[Image.Image, int]:
    """The picture as RGB and its EXIF orientation (1 to 8; anything else is none). ``held``: bytes that count against
    the limit besides."""
    check_webp(body, limits)
    stream = MeteredBytes(body)
    with Image.open(stream, formats=FORMATS) as image:
        limits.check_size(image.width, image.height)
        stream.allow(image)
        depth = read_depth(image, body)
        check_memory(image, _drafted(image, side), body, check_scans(body, image), limits, held)
        if decoded is not None:
            # No effect on anything but a JPEG.
            image.draft(None, (decoded * DECODE_MARGIN, decoded * DECODE_MARGIN))
        image.load()
        orientation = 0
        with contextlib.suppress(Exception):  # whatever a broken EXIF block raises, the pixels are good
            orientation = image.getexif().get(_ORIENTATION, 0)
        rgb = to_rgb(image, depth)
        if rgb is image:
            # Without what the file's class keeps beside the pixels: a WebP's decoder holds two more copies of them.
            rgb = image._new(image.im)
        rgb.info = {}
        return rgb, orientation


def center_square(image: Image.Image, size: int) -> Image.Image:
    """The largest centred square of ``image``, resized to ``size`` x ``size`` pixels (bilinear, antialiased)."""
    width, height = image.size
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    return image.resize((size, size), Image.Resampling.BILINEAR, box=(left, top, left + side, top + side))


def model_input(source: bytes | bytearray | Path, size: int, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """What the model is given for a picture: uint8 RGB, shape (size, size, 3). Raises PictureError."""
    return np.asarray(center_square(open_picture(source, size, max_pixels), size))
