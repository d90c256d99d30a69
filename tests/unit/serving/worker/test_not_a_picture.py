"""Bodies that are no picture: their errors name what they seem to be, and what to send instead."""

from __future__ import annotations

import base64
import io
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fastai_serving.worker.not_a_picture import seems

RAW = "send the picture's own bytes"


def picture(kind: str) -> bytes:
    stream = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(stream, kind)
    return stream.getvalue()


KINDS = {"JPEG": "a JPEG", "PNG": "a PNG", "GIF": "a GIF", "BMP": "a BMP", "TIFF": "a TIFF", "WEBP": "a WebP"}


@pytest.mark.parametrize("kind", KINDS)
def test_encoded_pictures(kind):
    body = picture(kind)
    encoded = base64.b64encode(body)
    lines = base64.encodebytes(body)
    for text in (encoded, lines, lines.replace(b"\n", b"\r\n"), base64.urlsafe_b64encode(body), encoded.rstrip(b"=")):
        assert seems(text) == f"{KINDS[kind]} in base64; {RAW}, not base64"
    quoted = json.dumps(encoded.decode()).encode()
    for text in (quoted, repr(encoded).encode(), b" \n" + encoded, b"\xef\xbb\xbf" + encoded):
        assert seems(text) == f"{KINDS[kind]} in base64; {RAW}, not base64"
    for text in (b"data:image/jpeg;base64," + encoded, b"data:;base64," + encoded, b"DATA:image/png,%89PNG"):
        assert seems(text) == f"a data URI; {RAW}, not base64"
    for text in (body.hex().encode(), body.hex().upper().encode(), b"0x" + body.hex().encode()):
        assert seems(text) == f"{KINDS[kind]} in hexadecimal digits; {RAW}"
    assert seems(json.dumps({"image": encoded.decode()}).encode()) == f"JSON; {RAW}, not in a document"
    assert seems(json.dumps(list(body)).encode()) == f"JSON; {RAW}, not in a document"


def test_pictures_that_went_through_a_text():
    assert "encoded as UTF-8 text on the way" in seems(picture("JPEG").decode("latin-1").encode())
    assert "encoded as UTF-8 text on the way" in seems(picture("PNG").decode("latin-1").encode())
    assert "read as text on the way" in seems(picture("JPEG").decode(errors="replace").encode())


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (b"%PDF-1.7\n%", "a PDF document"),
        (b"\x1f\x8b\x08\0", "compressed with gzip"),
        (b"PK\x03\x04\x14", "a ZIP archive"),
        (b"\0\0\0\x1cftypheic\0\0", "a HEIC picture"),
        (b"\0\0\0\x1cftypmif1\0\0", "a HEIC picture"),
        (b"\0\0\0\x1cftypavif\0\0", "an AVIF picture"),
        (b"\0\0\0\x1cftypisom\0\0", "a video (MP4, QuickTime)"),
        (b"<!DOCTYPE html><html>", "an HTML page"),
        (b"\n<html lang=en>", "an HTML page"),
        (b'<?xml version="1.0"?>\n<svg xmlns="">', "an SVG drawing"),
        (b"<svg/>", "an SVG drawing"),
        (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "XML"),
        (b"--1234\r\nContent-Disposition: form-data", f"a form (multipart/form-data); {RAW} as the whole body"),
        (b"https://example.com/a.jpg", f"an address; this server fetches nothing: {RAW}"),
        (b"s3://bucket/a.jpg", f"an address; this server fetches nothing: {RAW}"),
        (b"@a.jpg", f"a file's name; {RAW} (curl --data-binary @name)"),
        (b"/home/me/a.jpg", f"a file's name; {RAW} (curl --data-binary @name)"),
        (b"\x93NUMPY\x01\0", "a NumPy array"),
        (b"%!PS-Adobe-3.0", "PostScript"),
        (b"\0" * 5000, "nothing but zeros"),
        (b"hello,\nthis is it", "text"),
        ("这是什么".encode() * 3000, "text"),
        (b"\x80\x04\x95", None),
        (b"\x01\x02\x03", None),
        (b"", None),
    ],
)
def test_other_bodies(body, what):
    assert seems(body) == what


@given(st.one_of(st.binary(max_size=200), st.text(max_size=100).map(lambda text: text.encode("utf-8", "replace"))))
def test_any_body_is_looked_at(body):
    seems(body)
    seems(b"data:" + body)
    seems(b"0x" + body)
    seems(base64.b64encode(body))
