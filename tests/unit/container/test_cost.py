from __future__ import annotations

import io
import re
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fastai_container import cost
from fastai_container.errors import PictureError
from fastai_container.jpeg import count_scans
from fastai_container.picture_limits import MIN_PICTURE_BYTES
from fastai_container.pictures import model_input, open_picture
from tests.hostile import chunk, encoded, packed_tiff, png, progressive, tiff, webp

#: Seconds of processor time that a refusal may take, on however slow a machine; undetected they take minutes.
REFUSED_WITHIN = 60.0
MB = 2**20


def refused(body: bytes, **options: int) -> PictureError:
    start = time.thread_time()
    with pytest.raises(PictureError) as caught:
        model_input(body, 224, **options)
    assert time.thread_time() - start < REFUSED_WITHIN
    return caught.value


def gradient(width: int, height: int) -> Image.Image:
    rows = np.linspace(0, 255, height, dtype=np.uint8)[:, None].repeat(width, 1)
    columns = np.linspace(0, 255, width, dtype=np.uint8)[None, :].repeat(height, 0)
    return Image.fromarray(np.stack([rows, columns, np.full_like(rows, 90)], axis=2))


def test_scans_are_counted():
    assert count_scans(encoded(gradient(64, 48)), 1000).count == 1
    assert count_scans(encoded(gradient(64, 48), progressive=True), 1000).count == 10
    assert count_scans(progressive(64, 90), 1000).count == 96, "a grey one has 6"
    assert count_scans(progressive(64, 90), 50).count == 51, "it stops above the limit"


def test_a_thumbnail_and_what_follows_the_picture_are_not_counted():
    body = encoded(gradient(64, 48), progressive=True)
    thumbnail = progressive(16, 200)
    segment = b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 8) + b"Exif\0\0" + thumbnail
    assert count_scans(body[:2] + segment + body[2:] + progressive(16, 200), 1000).count == 10
    assert model_input(body[:2] + segment + body[2:], 8).shape == (8, 8, 3)


def test_restarts_and_stuffed_bytes_are_no_scans():
    noise = Image.fromarray(np.random.default_rng(1).integers(0, 255, (128, 128, 3), dtype=np.uint8))
    for options in ({"restart_marker_blocks": 1}, {"quality": 100}):
        body = encoded(noise, progressive=True, **options)
        assert count_scans(body, 1000).count == 10
    assert b"\xff\x00" in body


def test_padding_between_segments_hides_no_scans():
    body = progressive(64, 200)
    place = body.index(b"\xff\xda")
    assert count_scans(body[:place] + b"junk\xff\x00\xff\xff\xff" + body[place:], 1000).count == 206


def test_kept_coefficients_follow_the_subsampling():
    image = gradient(160, 160)
    assert count_scans(encoded(image, progressive=True, subsampling=0), 99).coefficient_bytes == 160 * 160 * 6
    assert count_scans(encoded(image, progressive=True, subsampling=2), 99).coefficient_bytes == 160 * 160 * 3
    assert count_scans(encoded(image), 99).coefficient_bytes == 0, "decoded as it is read"


def test_too_many_scans():
    assert refused(progressive(64, 200)).code == "too_complex"
    error = refused(progressive(9984, 20))
    assert error.code == "too_complex"
    assert "26 scans of 9984x9984 pixels" in str(error)


def test_ordinary_progressive_pictures_are_taken():
    assert model_input(encoded(gradient(4000, 3000), progressive=True, subsampling=0), 224).shape == (224, 224, 3)
    assert open_picture(progressive(64, 90)).size == (64, 64), "many scans of few pixels cost nothing"


#: What keeps a parser busy: each took minutes, or would have, at the size that a request may have.
BUSY = {
    "comments of a JPEG": lambda body: body[:2] + b"\xff\xfe\x00\x02" * 1_450_000 + body[2:],
    "EXIF blocks": lambda body: body[:2] + b"\xff\xe1\x00\x09Exif\0\0x" * 500_000 + body[2:],
    "padding": lambda body: body[:2] + b"\xff" * 5_900_000 + body[2:],
    "a comment of a PPM": lambda _: b"P6 #" + b"a" * 5_900_000 + b"\n 2 2 255\n" + bytes(12),
    "pixels of a PPM": lambda _: b"P5 1400 1000 254\n" + b"\xc8" * 5_700_000,
    "empty chunks": lambda _: png(8, 8, 8, 0, bytes(8), chunk(b"abCd", b"") * 480_000),
    "texts of a PNG": lambda _: png(8, 8, 8, 0, bytes(8), chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(10**6))) * 60),
    "comments of a GIF": lambda _: (
        (gif := encoded(Image.new("P", (8, 8)), "GIF"))[: (place := gif.index(b"\x2c", 13))]
        + b"!\xfe\x01a\0" * 1_100_000
        + gif[place:]
    ),
}


@pytest.mark.parametrize("name", BUSY)
def test_a_busy_parser_ends(name):
    body = BUSY[name](encoded(gradient(64, 64)))
    start = time.thread_time()
    told = None
    try:
        model_input(body, 224)
    except PictureError as error:
        told = f"{error.code}: {error}"
    # A fast machine may get through.
    assert told is None or re.match(r"too_complex: .* s of processor time", told), told
    assert time.thread_time() - start < REFUSED_WITHIN


def test_time_is_metered_while_pillow_reads(monkeypatch):
    monkeypatch.setattr(cost, "BASE_SECONDS", -1.0)
    monkeypatch.setattr(cost, "SECONDS_PER_MEGAPIXEL", 0.0)
    monkeypatch.setattr(cost, "_SMALL", 0)
    for kind in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM"):
        assert refused(encoded(gradient(300, 300), kind)).code == "too_complex", kind


def test_tiles_that_share_their_bytes_are_refused():
    shared = packed_tiff(4096, 16, b"\x80" * 100_000 + b"\x81\x05\x81\x06")
    assert "more bytes than the file" in str(refused(shared))
    assert "strips or tiles" in str(refused(packed_tiff(8192, 16, b"\x81\x05\x81\x06")))


def test_a_tiff_of_many_strips_is_taken():
    body = encoded(gradient(400, 3000), "TIFF", compression="tiff_lzw", tiffinfo={278: 1})
    assert Image.open(io.BytesIO(body)).tag_v2[278] == 1
    assert open_picture(body).size == (400, 3000)


@pytest.mark.parametrize("side", [224, 448])
@pytest.mark.parametrize("options", [{}, {"progressive": True, "subsampling": 0}])
def test_a_telephones_jpeg_is_taken_whatever_the_memory(options, side):
    body = encoded(gradient(4080, 3060), quality=92, **options)
    assert min(open_picture(body, side, max_bytes=MIN_PICTURE_BYTES).size) >= 2 * side


def test_fifty_megapixels_are_taken_where_the_decoder_scales():
    body = encoded(Image.new("RGB", (8160, 6120), "teal"))
    assert model_input(body, 224).shape == (224, 224, 3)
    assert open_picture(body, 224, max_bytes=MIN_PICTURE_BYTES).size == (1020, 765)


@pytest.mark.parametrize(
    "make", [lambda side: webp(side), lambda side: encoded(Image.new("RGBA", (side, side)), "PNG")]
)
def test_a_form_that_takes_more_memory_may_have_fewer_pixels(make):
    with pytest.raises(PictureError) as caught:
        open_picture(make(4000), 224, max_bytes=100 * MB)
    error = caught.value
    assert error.code == "too_many_pixels"
    assert "4000x4000 pixels, which take" in str(error)
    fitting = int(str(error).partition("enough for ")[2].split()[0].replace(",", ""))
    assert open_picture(make(int(fitting**0.5)), 224, max_bytes=100 * MB).mode == "RGB"


def test_a_webp_is_refused_before_its_canvas_is_made():
    with pytest.raises(PictureError) as caught:
        open_picture(webp(4000)[:30], 224, max_bytes=100 * MB)
    assert caught.value.code == "too_many_pixels"


@pytest.mark.parametrize("alpha", [True, False])
@pytest.mark.parametrize("lossless", [True, False])
def test_a_webps_size_is_its_headers(alpha, lossless):
    image = Image.new("RGBA" if alpha else "RGB", (300, 70), (1, 2, 3, 4) if alpha else (1, 2, 3))
    for options in ({}, {"exif": Image.Exif().tobytes()}, {"save_all": True, "append_images": [image.rotate(180)]}):
        body = encoded(image, "WEBP", lossless=lossless, **options)
        assert cost._webp_size(body[:30]) == (300, 70)


def test_a_long_side_is_refused():
    error = refused(png(1, 70_000, 8, 0, b"\0"))
    assert error.code == "too_many_pixels"
    assert "65,535" in str(error)


def test_the_strip_of_a_tiff_counts():
    side = 6000
    packed = zlib.compress(bytes(side * side))
    body = tiff((side, side), {258: (3, b"\x08\0"), 259: (3, b"\x08\0"), 262: (3, b"\1\0")}, packed)
    assert open_picture(body).size == (side, side)
    with pytest.raises(PictureError, match="TIFF, L"):
        # 1 byte a pixel and 4 of RGB, but the whole picture is one strip.
        open_picture(body, max_bytes=side * side * 4)


#: Run apart: bytes by which a process grows at most while it decodes a file, beside what the header made us expect.
_PEAK = """
import re, sys
from pathlib import Path
from fastai_container.cost import Limits
from fastai_container.pictures import model_input
def memory(name):
    return int(re.search(name + r":\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024
needed = []
Limits.check_memory = lambda self, count, *_: needed.append(count)
body = Path(sys.argv[1]).read_bytes()
before = memory("VmRSS")
model_input(body, 224)
print(memory("VmHWM") - before, max(needed))
"""

_SIDE = 3000
_GREY = gradient(_SIDE, _SIDE).convert("L")
_RGBA = gradient(_SIDE, _SIDE)
_RGBA.putalpha(_GREY)
#: Mode, format, options of saving.
FORMS = {
    "rgb.jpg": ("RGB", "JPEG", {}),
    "progressive.jpg": ("RGB", "JPEG", {"progressive": True, "subsampling": 0}),
    "cmyk.jpg": ("CMYK", "JPEG", {"progressive": True}),
    "rgb.png": ("RGB", "PNG", {"compress_level": 1}),
    "turned.png": (
        "RGB",
        "PNG",
        {"compress_level": 1, "exif": b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"},
    ),
    "rgba.png": ("RGBA", "PNG", {"compress_level": 1}),
    "palette.png": ("P", "PNG", {"transparency": 3}),
    "deep.png": ("I;16", "PNG", {"compress_level": 1}),
    "rgb.webp": ("RGB", "WEBP", {"method": 0}),
    "rgba.webp": ("RGBA", "WEBP", {"method": 0, "lossless": True}),
    "palette.gif": ("P", "GIF", {}),
    "rgb.bmp": ("RGB", "BMP", {}),
    "lab.tif": ("LAB", "TIFF", {"compression": "tiff_adobe_deflate"}),
    "cmyk.tif": ("CMYK", "TIFF", {"compression": "tiff_lzw"}),
    "float.tif": ("F", "TIFF", {}),
    "one-strip.tif": ("RGBA", "TIFF", {"compression": "tiff_adobe_deflate", "tiffinfo": {278: _SIDE}}),
    "rgb.ppm": ("RGB", "PPM", {}),
}


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells a process's peak")
@pytest.mark.parametrize("name", FORMS)
def test_memory_is_as_the_header_makes_expect(tmp_path, name):
    mode, kind, options = FORMS[name]
    if mode in ("F", "I;16"):
        deep = np.asarray(_GREY)
        image = Image.fromarray(deep.astype(np.float32) / 255 if mode == "F" else deep.astype(np.uint16) * 257)
    else:
        image = _RGBA if mode == "RGBA" else _RGBA.convert("RGB").convert(mode)
    image.save(tmp_path / name, kind, **options)
    done = subprocess.run(
        [sys.executable, "-c", _PEAK, str(tmp_path / name)], capture_output=True, text=True, check=True
    )
    grown, expected = map(int, done.stdout.split())
    assert grown <= expected, f"{grown / _SIDE**2:.1f} bytes a pixel"
    assert expected - cost.FIXED_BYTES <= 3 * grown, "so many are refused for nothing"
