from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from fastai_container.pictures import PictureError, center_square, check_picture, model_input, open_picture


def encoded(image: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def gradient(width: int, height: int) -> Image.Image:
    rows = np.linspace(0, 255, height, dtype=np.uint8)[:, None].repeat(width, 1)
    columns = np.linspace(0, 255, width, dtype=np.uint8)[None, :].repeat(height, 0)
    return Image.fromarray(np.stack([rows, columns, np.full_like(rows, 90)], axis=2))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_formats(kind):
    image = open_picture(encoded(gradient(60, 40), kind))
    assert (image.mode, image.size) == ("RGB", (60, 40))


def test_a_large_jpeg_is_decoded_smaller_but_not_below_the_margin():
    image = open_picture(encoded(gradient(1600, 1200)), side=100)
    assert image.size == (400, 300), "1200 / 4 is the smallest side of at least 200"


def test_a_small_jpeg_is_decoded_whole():
    assert open_picture(encoded(gradient(300, 300)), side=224).size == (300, 300)


def test_scaled_decoding_changes_the_result_little():
    body = encoded(gradient(1600, 1200), quality=95)
    whole = np.asarray(center_square(open_picture(body), 224), dtype=int)
    assert abs(model_input(body, 224).astype(int) - whole).mean() < 1.0


def test_exif_orientation_is_honoured():
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 90 degrees to see it upright
    assert open_picture(encoded(gradient(60, 40), exif=exif)).size == (40, 60)


def test_transparent_is_white():
    image = open_picture(encoded(Image.new("RGBA", (8, 8), (255, 0, 0, 0)), "PNG"))
    assert image.getpixel((4, 4)) == (255, 255, 255)


def test_palette_with_transparency_is_white():
    image = Image.new("P", (8, 8), 1)
    image.putpalette([0, 0, 0, 200, 10, 10] + [0] * 750)
    assert open_picture(encoded(image, "PNG", transparency=1)).getpixel((4, 4)) == (255, 255, 255)


def test_sixteen_bits_keep_their_range():
    image = Image.fromarray(np.full((8, 8), 0x8000, dtype=np.uint16))
    assert open_picture(encoded(image, "PNG")).getpixel((4, 4)) == (128, 128, 128)


def test_cmyk_is_not_inverted():
    image = open_picture(encoded(Image.new("CMYK", (8, 8), (0, 0, 0, 0))))
    assert min(image.getpixel((4, 4))) > 250


def test_center_square_takes_the_middle():
    image = Image.new("RGB", (300, 100), "black")
    image.paste("white", (100, 0, 200, 100))
    assert np.asarray(center_square(image, 50)).min() > 200


def test_not_a_picture():
    with pytest.raises(PictureError, match="not a picture") as caught:
        open_picture(b"<svg></svg>")
    assert caught.value.code == "not_an_image"


def test_cut_short():
    body = encoded(gradient(200, 200))
    with pytest.raises(PictureError) as caught:
        open_picture(body[: len(body) // 2])
    assert caught.value.code == "truncated"


def test_too_many_pixels_are_refused_from_the_header():
    body = encoded(gradient(200, 200), "PNG")
    with pytest.raises(PictureError, match="200x200") as caught:
        # Only the header is there: had it been decoded, it would be called truncated.
        open_picture(body[:100], max_pixels=39_999)
    assert caught.value.code == "too_many_pixels"


def test_a_named_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    for path in (tmp_path / "pipe.jpg", Path("/dev/zero"), tmp_path):
        with pytest.raises(PictureError, match="not a regular file"):
            open_picture(path)


def test_a_files_bytes_count(tmp_path):
    (tmp_path / "a.bmp").write_bytes(encoded(gradient(64, 64), "BMP") + bytes(2**20))
    with pytest.raises(PictureError, match="more than 1 MB"):
        open_picture(tmp_path / "a.bmp", max_bytes=2**20)
    assert open_picture(tmp_path / "a.bmp").size == (64, 64)


@pytest.mark.parametrize("orientation", range(2, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_every_turn_is_that_of_pillow(kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    body = encoded(gradient(60, 40), kind, exif=exif)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(body))).convert("RGB")
    assert open_picture(body).tobytes() == expected.tobytes()


def test_what_is_returned_is_a_plain_picture():
    for kind in ("JPEG", "PNG", "WEBP", "GIF"):
        image = open_picture(encoded(gradient(60, 40), kind, comment=b"x"))
        assert type(image) is Image.Image, "a WebP's own class holds its decoder"
        assert image.info == {}


def test_checking_is_as_strict_as_opening(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(encoded(gradient(1600, 1200)))
    check_picture(path, 224)
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(PictureError, match="cut short"):
        check_picture(path, 224)
    path.write_bytes(encoded(gradient(3000, 3000)))
    check_picture(path, 100, max_bytes=40 * 2**20)
    for use in (check_picture, open_picture):  # for a larger square it is decoded larger
        with pytest.raises(PictureError, match="3000x3000 pixels, which take"):
            use(path, 1000, max_bytes=40 * 2**20)


def test_missing_file(tmp_path):
    with pytest.raises(PictureError, match="No such file"):
        open_picture(tmp_path / "none.jpg")


def test_postscript_is_never_opened():
    with pytest.raises(PictureError, match="not a picture"):
        open_picture(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n")


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(["JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF"]), st.data())
def test_damaged_bytes_are_a_picture_or_a_picture_error(kind, data):
    body = bytearray(encoded(gradient(24, 16), kind))
    for _ in range(data.draw(st.integers(1, 6))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    code, result = None, None
    try:
        result = model_input(bytes(body), 8, max_pixels=100_000)
    except PictureError as error:
        code = error.code
    assert code in (
        "not_an_image",
        "truncated",
        "too_many_pixels",
        "too_complex",
        "unsupported_depth",
    ) or result.shape == (8, 8, 3)
