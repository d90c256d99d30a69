from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from fastai_container.pictures import PictureError, open_picture
from fastai_container.rgb import STRIP_PIXELS
from tests.hostile import chunk, encoded, png, tiff

HALF = (128, 128, 128)


def first(body: bytes) -> tuple[int, ...]:
    pixel = open_picture(body).getpixel((0, 0))
    assert isinstance(pixel, tuple)
    return pixel


def refused(body: bytes) -> str:
    with pytest.raises(PictureError) as caught:
        open_picture(body)
    assert caught.value.code == "unsupported_depth"
    return str(caught.value)


def deep_png(values: list[int], before: bytes = b"") -> bytes:
    """A grey PNG of 16 bits, one row high."""
    return png(len(values), 1, 16, 0, struct.pack(f">{len(values)}H", *values), before)


def deep_tiff(values: np.ndarray, tags: dict[int, tuple[int, bytes]] | None = None) -> bytes:
    """A grey TIFF of one row with as many bits as ``values`` have."""
    bits, kind = values.itemsize * 8, {"u": 1, "i": 2, "f": 3}[values.dtype.kind]
    known = {258: (3, struct.pack("<H", bits)), 262: (3, b"\1\0"), 339: (3, struct.pack("<H", kind))}
    return tiff((len(values), 1), known | (tags or {}), values.tobytes())


# Transparency.


@pytest.mark.parametrize(
    ("bits", "colour", "row", "key"),
    [
        (8, 2, bytes([10, 20, 30, 10, 20, 31]), struct.pack(">3H", 10, 20, 30)),
        (16, 2, struct.pack(">6H", 2560, 5120, 7680, 2560, 5120, 7936), struct.pack(">3H", 2560, 5120, 7680)),
        (8, 0, bytes([0, 31]), struct.pack(">H", 0)),
        (4, 0, bytes([0x7F]), struct.pack(">H", 7)),
        (2, 0, bytes([0x70]), struct.pack(">H", 1)),
        (1, 0, bytes([0x40]), struct.pack(">H", 0)),
        (16, 0, struct.pack(">2H", 5000, 5001), struct.pack(">H", 5000)),
    ],
)
def test_a_colour_that_is_transparent_is_white(bits, colour, row, key):
    image = open_picture(png(2, 1, bits, colour, row, chunk(b"tRNS", key)))
    opaque = open_picture(png(2, 1, bits, colour, row))
    assert image.mode == "RGB"
    assert image.getpixel((0, 0)) == (255, 255, 255) != opaque.getpixel((0, 0))
    assert image.getpixel((1, 0)) == opaque.getpixel((1, 0))


def test_a_palettes_alpha_is_laid_over_white():
    palette = chunk(b"PLTE", bytes([0, 0, 0, 200, 100, 0]))
    assert first(png(1, 1, 8, 3, b"\1", palette + chunk(b"tRNS", b"\xff\0"))) == (255, 255, 255)
    assert first(png(1, 1, 8, 3, b"\1", palette + chunk(b"tRNS", b"\0\x80"))) == (227, 177, 127)
    assert first(png(1, 1, 8, 3, b"\1", palette + chunk(b"tRNS", b"\0"))) == (200, 100, 0)
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 200, 10, 10])
    assert first(encoded(image, "GIF", transparency=1)) == (255, 255, 255)


def test_strips_meet_without_a_seam():
    width = 700
    height = 3 * (STRIP_PIXELS // width) + 17
    rows, columns = np.mgrid[0:height, 0:width]
    pixels = np.stack([rows % 256, columns % 256, (rows + columns) % 256, (rows * 3) % 256], 2).astype(np.uint8)
    image = Image.fromarray(pixels)
    expected = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    assert open_picture(encoded(image, "PNG", compress_level=1)).tobytes() == expected.tobytes()
    deep = Image.fromarray((rows * 20 % 65536).astype(np.uint16))
    assert (
        np.asarray(open_picture(encoded(deep, "PNG", compress_level=1)))[..., 0].tolist()
        == ((rows * 20 % 65536) >> 8).tolist()
    )


# Depth.


def test_sixteen_bits():
    assert first(deep_png([0x8000, 0xFFFF])) == HALF
    assert first(deep_tiff(np.array([0x8000, 0xFFFF], "<u2"))) == HALF
    assert first(deep_png([0, 0])) == (0, 0, 0)
    whole = np.full((2, 2), 0x8000, np.uint16)
    for mode in ("I;16", "I;16B"):
        image = Image.frombytes(mode, (2, 2), whole.astype(">u2" if mode == "I;16B" else "<u2").tobytes())
        assert first(encoded(image, "TIFF")) == HALF, mode


def test_twelve_bits_in_sixteen_are_scaled_where_the_file_says_so():
    assert first(deep_png([2048, 4095], chunk(b"sBIT", b"\x0c"))) == HALF
    assert first(deep_png([0x8000, 0xFFF0], chunk(b"sBIT", b"\x0c"))) == HALF, "scaled already, as the format asks"
    assert first(deep_tiff(np.array([2048, 4095], "<u2"), {281: (3, struct.pack("<H", 4095))})) == HALF
    limits = {340: (3, b"\0\0"), 341: (3, struct.pack("<H", 4095))}
    assert first(deep_tiff(np.array([2048, 4095], "<u2"), limits)) == HALF


def test_twelve_bits_in_sixteen_are_refused_where_it_does_not():
    assert "none is above 4095 of 65535" in refused(deep_png([2048, 4095]))
    assert "none is above 4000" in refused(
        deep_tiff(np.array([2048, 4000], "<u2"), {281: (3, struct.pack("<H", 4000))})
    )
    colours = struct.pack(">6H", 100, 2000, 4000, 1, 2, 3)
    assert "none is above 4095" in refused(png(2, 1, 16, 2, colours))
    assert "none is above 4095" in refused(png(2, 1, 16, 6, struct.pack(">8H", 1, 2, 4000, 65535, 1, 2, 3, 65535)))
    assert "none is above 4095" in refused(png(2, 1, 16, 4, struct.pack(">4H", 4000, 65535, 1, 65535)))


def test_twelve_bits_packed():
    packed = bytes([0x80, 0x08, 0x00])  # 0x800 twice
    assert first(tiff((2, 1), {258: (3, b"\x0c\0"), 262: (3, b"\1\0")}, packed)) == HALF


def test_white_may_be_zero():
    inverted = {262: (3, b"\0\0")}
    assert first(deep_tiff(np.array([0x7FFF, 0xFFFF], "<u2"), inverted)) == HALF
    assert first(deep_tiff(np.array([0x7F, 0xFF], "u1"), inverted)) == HALF


@pytest.mark.parametrize("kind", ["<i2", "<i4", "<u4"])
def test_wider_or_signed_values_need_the_files_word(kind):
    values = np.array([150, 200], kind)
    low, high = (np.array(value, kind).tobytes() for value in (100, 200))
    tag = {"<i2": 8, "<i4": 9, "<u4": 4}[kind]
    assert first(deep_tiff(values, {340: (tag, low), 341: (tag, high)})) == HALF
    assert "from 150 to 200" in refused(deep_tiff(values))


def test_floats_of_0_to_1():
    assert first(deep_tiff(np.array([0.5, 1.0], "<f4"))) == HALF
    assert first(encoded(Image.fromarray(np.full((2, 2), 0.5, np.float32)), "TIFF")) == HALF
    packed = tiff(
        (2, 1),
        {258: (3, b"\x20\0"), 259: (3, b"\x08\0"), 262: (3, b"\1\0"), 339: (3, b"\3\0")},
        zlib.compress(np.array([0.5, 1], "<f4").tobytes()),
    )
    assert first(packed) == HALF


def test_floats_of_another_range_need_the_files_word():
    limits = {340: (11, struct.pack("<f", -10)), 341: (11, struct.pack("<f", 30))}
    assert first(deep_tiff(np.array([10, 30], "<f4"), limits)) == HALF
    assert "from 10 to 30" in refused(deep_tiff(np.array([10, 30], "<f4")))
    assert "from -0.5 to 1" in refused(deep_tiff(np.array([-0.5, 1], "<f4")))
    assert "nan" in refused(deep_tiff(np.array([np.nan, 1], "<f4")))
    assert "nan" in refused(deep_tiff(np.array([0.5, np.nan], "<f4")))
    assert "inf" in refused(deep_tiff(np.array([0.5, np.inf], "<f4")))


@pytest.mark.parametrize(("low", "high"), [(3.0, 3.0), (5.0, 1.0), (float("nan"), 1.0), (0.0, float("inf"))])
def test_a_range_that_is_none_is_refused(low, high):
    limits = {340: (11, struct.pack("<f", low)), 341: (11, struct.pack("<f", high))}
    assert "says that its values go from" in refused(deep_tiff(np.array([0.5, 1], "<f4"), limits))


def test_a_ppms_white_is_its_headers():
    assert first(b"P5 2 1 65535\n" + struct.pack(">2H", 0x8000, 0)) == HALF
    assert first(b"P5 2 1 4095\n" + struct.pack(">2H", 2048, 0)) == HALF
    assert first(b"P6 1 1 4095\n" + struct.pack(">3H", 2048, 2048, 2048)) == HALF


def test_a_damaged_file_says_nothing_on_stderr(capfd):
    """libtiff's own lines would stand in the log without a request's id."""
    body = encoded(Image.effect_noise((64, 64), 80), "TIFF", compression="jpeg")
    open_picture(body)
    without_tables = body.replace(struct.pack("<HH", 347, 7), struct.pack("<HH", 348, 7))
    assert without_tables != body
    with pytest.raises(PictureError, match="cut short or damaged"):
        open_picture(without_tables)
    assert capfd.readouterr().err == ""
