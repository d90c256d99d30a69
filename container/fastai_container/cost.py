"""What a picture costs to decode: bytes of memory, told from its header, and seconds, counted while it is read."""

from __future__ import annotations

import io
import time
from dataclasses import dataclass
from typing import Any

from PIL import Image, JpegImagePlugin, PpmImagePlugin, TiffImagePlugin, WebPImagePlugin

from fastai_container.errors import PictureError
from fastai_container.jpeg import Scans, count_scans

#: Neither side may be longer, as in a JPEG: a picture of one pixel's width costs many times what its area does.
MAX_SIDE = 65_535
#: Scans of a JPEG; ordinary progressive ones have about ten.
MAX_SCANS = 100
#: Scans times pixels: ten scans of 100 megapixels, or a hundred of 15; a core takes about a second.
MAX_SCAN_PIXELS = 1_500_000_000
#: Strips or tiles of a TIFF: 100 megapixels in tiles of 64 x 64, or a row in each strip.
MAX_TILES = 65_536
#: Seconds of this thread's processor time for a picture, and for each megapixel besides: five times what is usual.
BASE_SECONDS, SECONDS_PER_MEGAPIXEL = 1.0, 0.03
#: A PPM with another white than 255 is decoded in Python, a second a megapixel.
MAX_SLOW_PIXELS, SLOW_SECONDS_PER_MEGAPIXEL = 1_500_000, 2.0
#: Reading the clock takes longer than reading a byte: of small pieces, every so many count.
_SMALL, _EVERY = 1024, 32
_read = io.BytesIO.read

#: Measured (peak of resident memory, 20 megapixels): what is decoded, and beside it RGB of 4 bytes a pixel, first as it
#: lies in the file and then upright, or what is decoded and its RGB.
RGB_BYTES = 4
UPRIGHT_BYTES = 2 * RGB_BYTES
#: libwebp's two canvases, the frame as bytes, and the picture.
WEBP_BYTES = 16
#: Strips of conversion and the resize.
FIXED_BYTES = 16 * 2**20
#: Bytes of a decoded pixel by Pillow's mode; all others have 4.
_MODE_BYTES = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2, "I;16N": 2}
_TIFF_JPEG = ("jpeg", "tiff_jpeg")
_SCAN = b"\xff\xda"


def too_complex(text: str) -> PictureError:
    return PictureError("too_complex", f"{text}; save the picture anew, as an ordinary file")


class MeteredBytes(io.BytesIO):
    """A file's bytes, whose reading ends with PictureError once decoding has taken too much processor time.

    Pillow's parsers and most of its decoders read as they go, so whatever they are kept busy by, it ends there. Those
    that take the file in one piece (WebP, compressed TIFF) are bounded by their pixels and tiles alone.
    """

    def __init__(self, body: bytes) -> None:
        super().__init__(body)
        self._start = time.thread_time()
        self._small = 0
        self.seconds = BASE_SECONDS

    def allow(self, image: Image.Image) -> None:
        """From now on as long as an opened picture of its size may take. Raises PictureError (too_complex)."""
        pixels, each = image.width * image.height, SECONDS_PER_MEGAPIXEL
        if isinstance(image, PpmImagePlugin.PpmImageFile) and image.tile[0][0] == "ppm":
            each = SLOW_SECONDS_PER_MEGAPIXEL
            if pixels > MAX_SLOW_PIXELS:
                raise too_complex(f"the PPM has {pixels:,} pixels and another white than 255")
        self.seconds = BASE_SECONDS + each * pixels / 1e6

    def read(self, size: int | None = -1) -> bytes:
        if size is not None and 0 <= size < _SMALL:
            self._small += 1
            if self._small % _EVERY:
                return _read(self, size)
        if time.thread_time() - self._start > self.seconds:
            raise too_complex(f"the picture takes more than {self.seconds:.1f} s of processor time to decode")
        return _read(self, size)


def _megabytes(count: float) -> str:
    return f"{count / 2**20:,.0f} MB"


@dataclass(frozen=True)
class Limits:
    """``pixels`` and ``memory`` (bytes) that one picture may have and take."""

    pixels: int
    memory: int

    def check_size(self, width: int, height: int) -> None:
        """Raises PictureError (too_many_pixels)."""
        if width * height > self.pixels:
            raise PictureError(
                "too_many_pixels", f"the picture has {width}x{height} pixels; at most {self.pixels:,} are accepted"
            )
        if max(width, height) > MAX_SIDE:
            raise PictureError(
                "too_many_pixels",
                f"the picture has {width}x{height} pixels; a side of at most {MAX_SIDE:,} is accepted",
            )

    def check_memory(self, needed: int, width: int, height: int, kind: str) -> None:
        """Raises PictureError (too_many_pixels) when a picture so large, ``kind`` being its format and mode, takes too
        many bytes."""
        if needed > self.memory:
            fitting = int(width * height * (self.memory - FIXED_BYTES) / max(1, needed - FIXED_BYTES))
            raise PictureError(
                "too_many_pixels",
                f"the picture has {width}x{height} pixels, which take {_megabytes(needed)} of memory to decode "
                f"({kind}); {_megabytes(self.memory)} are there, enough for {max(0, fitting):,} pixels in this form",
            )


def _webp_size(head: bytes) -> tuple[int, int] | None:
    """Width and height of a WebP's canvas; None when these are not a WebP's first 30 bytes."""
    if head[:4] != b"RIFF" or head[8:12] != b"WEBP" or len(head) < 30:
        return None
    if head[12:16] == b"VP8X":
        return int.from_bytes(head[24:27], "little") + 1, int.from_bytes(head[27:30], "little") + 1
    if head[12:16] == b"VP8L":
        sides = int.from_bytes(head[21:25], "little")
        return (sides & 0x3FFF) + 1, (sides >> 14 & 0x3FFF) + 1
    return int.from_bytes(head[26:28], "little") & 0x3FFF, int.from_bytes(head[28:30], "little") & 0x3FFF


def check_webp(body: bytes, limits: Limits) -> None:
    """A WebP's limits from its first bytes: opening it makes its canvases. Raises PictureError."""
    size = _webp_size(body[:30])
    if size is not None:
        limits.check_size(*size)
        limits.check_memory(FIXED_BYTES + size[0] * size[1] * WEBP_BYTES, *size, "WebP")


def check_scans(body: bytes, image: Image.Image) -> Scans:
    """The scans of a JPEG. Raises PictureError (too_complex) when there are too many for its pixels."""
    if not isinstance(image, JpegImagePlugin.JpegImageFile):
        return Scans(1, 0)
    scans = count_scans(body, MAX_SCANS)
    if scans.count > MAX_SCANS:
        raise too_complex(f"the JPEG has more than {MAX_SCANS} scans")
    if scans.count * image.width * image.height > MAX_SCAN_PIXELS:
        raise too_complex(f"the JPEG has {scans.count} scans of {image.width}x{image.height} pixels")
    return scans


def _numbers(tags: Any, *names: int) -> tuple[int, ...]:
    """The first of these tags that there is, as numbers; none when it is something else."""
    value = next((tags[name] for name in names if name in tags), ())
    values = value if isinstance(value, tuple) else (value,)
    return values if all(isinstance(number, int) for number in values) else ()


def _tile_bytes(image: TiffImagePlugin.TiffImageFile, body: bytes) -> int:
    """What libtiff holds of a compressed TIFF beside the picture: one strip or tile, of a JPEG in several scans its
    coefficients too. Raises PictureError (too_complex) when there are too many, or when they share their bytes, so that
    a small file is read over and over."""
    tags: Any = image.tag_v2
    tiled = TiffImagePlugin.TILEWIDTH in tags
    width = next(iter(_numbers(tags, TiffImagePlugin.TILEWIDTH)), image.width)
    height = next(iter(_numbers(tags, TiffImagePlugin.TILELENGTH, TiffImagePlugin.ROWSPERSTRIP)), image.height)
    width, height = max(1, width), max(1, height if tiled else min(height, image.height))
    offsets = _numbers(tags, TiffImagePlugin.TILEOFFSETS, TiffImagePlugin.STRIPOFFSETS)
    count = max(len(offsets), -(-image.width // width) * -(-image.height // height))
    if count > MAX_TILES:
        raise too_complex(f"the TIFF has {count:,} strips or tiles")
    if sum(_numbers(tags, TiffImagePlugin.TILEBYTECOUNTS, TiffImagePlugin.STRIPBYTECOUNTS)) > len(body):
        raise too_complex("the TIFF's strips or tiles have more bytes than the file")
    bits = _numbers(tags, TiffImagePlugin.BITSPERSAMPLE) or (1,)
    kept = width * height * max(RGB_BYTES, sum(bits) // 8)
    if image.info.get("compression") in _TIFF_JPEG and body.count(_SCAN) > len(set(offsets)):
        kept += 2 * len(bits) * width * height
    return kept


def check_memory(
    image: Image.Image, size: tuple[int, int], body: bytes, scans: Scans, limits: Limits, held: int
) -> None:
    """Raises PictureError when decoding an opened picture to ``size`` takes more than the limit; ``held``: bytes that
    count besides."""
    pixels = size[0] * size[1]
    decoded = pixels * _MODE_BYTES.get(image.mode, RGB_BYTES) + scans.coefficient_bytes
    if isinstance(image, TiffImagePlugin.TiffImageFile) and image.use_load_libtiff:
        decoded += _tile_bytes(image, body)
    upright = pixels * (WEBP_BYTES if isinstance(image, WebPImagePlugin.WebPImageFile) else UPRIGHT_BYTES)
    needed = FIXED_BYTES + held + max(decoded, upright)
    limits.check_memory(needed, image.width, image.height, f"{image.format}, {image.mode}")
