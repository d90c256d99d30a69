from __future__ import annotations

import io

import pytest
from PIL import Image

from fastai_container.jpeg import START, Scans, count_scans


def jpeg(**options: object) -> bytes:
    buffer = io.BytesIO()
    Image.radial_gradient("L").convert("RGB").save(buffer, "JPEG", **options)
    return buffer.getvalue()


def test_a_sequential_picture_has_one_scan_and_keeps_nothing():
    assert count_scans(jpeg(), 100) == Scans(1, 0)


def test_a_progressive_picture_keeps_two_bytes_for_each_coefficient():
    scans = count_scans(jpeg(progressive=True, subsampling=0), 100)
    assert scans.count > 5
    assert scans.coefficient_bytes == 2 * 256 * 256 * 3


def test_counting_ends_above_what_is_asked_for():
    assert count_scans(jpeg(progressive=True), 2).count == 3


@pytest.mark.parametrize("body", [b"", START, b"no picture"])
def test_what_is_no_jpeg_has_no_scans(body):
    assert count_scans(body, 100) == Scans(0, 0)
