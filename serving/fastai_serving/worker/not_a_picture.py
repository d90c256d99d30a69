"""Guess what a body is that is no picture, so that the error can say what to do instead."""

from __future__ import annotations

import base64
import binascii
import re
import string

_RAW = "send the picture's own bytes"
#: How files begin in the picture formats that are supported.
_PICTURES = {
    b"\xff\xd8\xff": "a JPEG",
    b"\x89PNG\r\n\x1a\n": "a PNG",
    b"GIF8": "a GIF",
    b"BM": "a BMP",
    b"II*\0": "a TIFF",
    b"MM\0*": "a TIFF",
    b"RIFF": "a WebP",
}
#: How other files begin, and what they are. A longer beginning stands before a shorter one.
_OTHERS = {
    b"%PDF-": "a PDF document",
    b"\x1f\x8b": "compressed with gzip",
    b"PK\x03\x04": "a ZIP archive",
    b"BZh": "compressed with bzip2",
    b"\xfd7zXZ\0": "compressed with xz",
    b"(\xb5/\xfd": "compressed with Zstandard",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!": "a RAR archive",
    b"%!PS": "PostScript",
    b"\xc5\xd0\xd3\xc6": "PostScript",
    b"8BPS": "a Photoshop document",
    b"\0\0\x01\0": "an icon (ICO)",
    b"\xff\x0a": "a JPEG XL picture",
    b"\0\0\0\x0cJXL ": "a JPEG XL picture",
    b"\0\0\0\x0cjP  ": "a JPEG 2000 picture",
    b"\xff\x4f\xff\x51": "a JPEG 2000 picture",
    b"\x93NUMPY": "a NumPy array",
    b"qoif": "a QOI picture",
    b"\x1aE\xdf\xa3": "a video (Matroska, WebM)",
    b"OggS": "Ogg audio or video",
    b"ID3": "MP3 audio",
    b"\x7fELF": "a program",
    # A picture that was treated as text: read as Latin-1, or with invalid UTF-8 replaced.
    b"\xc3\xbf\xc3\x98\xc3\xbf": f"a JPEG whose bytes were encoded as UTF-8 text on the way; {_RAW}, as bytes",
    b"\xc2\x89PNG": f"a PNG whose bytes were encoded as UTF-8 text on the way; {_RAW}, as bytes",
    b"\xef\xbf\xbd": f"a picture whose bytes were read as text on the way, and so are lost; {_RAW}, as bytes",
}
#: Brands of ISO media files (bytes 8 to 12, after "ftyp").
_BRANDS = {
    **dict.fromkeys((b"avif", b"avis"), "an AVIF picture"),
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"), "a HEIC picture"),
}
#: How texts begin, in lower case.
_TEXTS = {
    "<!doctype html": "an HTML page",
    "<html": "an HTML page",
    "<svg": "an SVG drawing",
    "{": f"JSON; {_RAW}, not in a document",
    "[": f"JSON; {_RAW}, not in a document",
    "http://": f"an address; this server fetches nothing: {_RAW}",
    "https://": f"an address; this server fetches nothing: {_RAW}",
    "s3://": f"an address; this server fetches nothing: {_RAW}",
    "--": f"a form (multipart/form-data); {_RAW} as the whole body",
    "/": f"a file's name; {_RAW} (curl --data-binary @name)",
    "@": f"a file's name; {_RAW} (curl --data-binary @name)",
}
_SAMPLE = 4096
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]+={0,2}")
_DATA_URI = re.compile(r"data:([a-z]+/[a-z0-9.+-]+)?[^,]{0,200},", re.IGNORECASE)


def _picture(content: bytes) -> str | None:
    return next((name for magic, name in _PICTURES.items() if content.startswith(magic)), None)


def _decoded(text: bytes) -> bytes:
    """Return what ``text`` decodes to from base64, or ``b""`` if it is not base64; its last bytes may be missing."""
    packed = b"".join(text.split()).translate(bytes.maketrans(b"-_", b"+/"))
    whole = packed[: len(packed) // 4 * 4]
    if len(whole) < 8 or not _BASE64.fullmatch(packed):
        return b""
    try:
        return base64.b64decode(whole)
    except binascii.Error:
        return b""


def _of_text(sample: bytes) -> str | None:
    try:
        # A sample may end in the middle of a character.
        text = sample.decode("utf-8-sig", errors="strict" if len(sample) < _SAMPLE else "ignore").strip()
    except UnicodeDecodeError:
        return None
    low = text.lower()
    if _DATA_URI.match(text):
        return f"a data URI; {_RAW}, not base64"
    quote = text[:1] if text[:1] in ("'", '"') else ""
    bare = text.strip("'\"").removeprefix("b'").encode()
    if found := _picture(_decoded(bare)):
        return f"{found} in base64; {_RAW}, not base64"
    digits = bare.removeprefix(b"0x").replace(b"\\x", b"")
    if all(chr(byte) in string.hexdigits for byte in digits):
        try:
            if found := _picture(binascii.unhexlify(digits[: len(digits) // 2 * 2])):
                return f"{found} in hexadecimal digits; {_RAW}"
        except binascii.Error:
            pass
    for beginning, what in _TEXTS.items():
        if low.startswith(beginning):
            return what
    if low.startswith("<"):
        return "an SVG drawing" if "<svg" in low else "XML"
    if quote:
        return f"JSON; {_RAW}, not in a document"
    return "text" if text and "".join(text.split()).isprintable() else None


def seems(body: bytes) -> str | None:
    """Return what a ``body`` in no supported picture format seems to be, or None when nothing is known about it.

    The words are made to follow "it seems to be".
    """
    sample = bytes(body[:_SAMPLE])
    for magic, what in _OTHERS.items():
        if sample.startswith(magic):
            return what
    if sample[4:8] == b"ftyp":
        return _BRANDS.get(sample[8:12], "a video (MP4, QuickTime)")
    if sample and not sample.strip(b"\0"):
        return "nothing but zeros"
    return _of_text(sample)
