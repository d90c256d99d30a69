"""Settings of Pillow and of the libtiff inside of its wheel, which Pillow itself doesn't offer."""

from __future__ import annotations

import ctypes
import logging
import os
from pathlib import Path

import PIL

#: libtiff's own limit is 100 scans for each strip of a JPEG; nobody writes a progressive JPEG into a TIFF.
_MOST_SCANS = "15"


def configure() -> None:
    """Fewer scans of a JPEG inside of a TIFF, and no lines of their own on stderr, past the log's format and without
    the request's id: what is wrong with a file arrives as an exception too."""
    logging.getLogger("PIL").setLevel(logging.CRITICAL)
    os.environ.setdefault("LIBTIFF_JPEG_MAX_ALLOWED_SCAN_NUMBER", _MOST_SCANS)
    for path in (Path(PIL.__file__).parents[1] / "pillow.libs").glob("libtiff*"):
        library = ctypes.CDLL(str(path))  # Pillow has loaded it already
        for name in ("TIFFSetErrorHandler", "TIFFSetWarningHandler"):
            handler = getattr(library, name)
            handler.argtypes, handler.restype = [ctypes.c_void_p], ctypes.c_void_p
            handler(None)
