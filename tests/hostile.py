"""Picture files that hurt who decodes them, made here: small files that unfold to much memory or much work."""

from __future__ import annotations

import io
import struct
import zlib

from PIL import Image


def encoded(image: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def progressive(side: int, scans: int, mode: str = "L", **options: object) -> bytes:
    """A progressive JPEG of ``side`` x ``side`` pixels whose last scan is there ``scans`` times more."""
    whole = encoded(Image.new(mode, (side, side), "grey"), quality=50, progressive=True, **options)
    place, last = 2, b""
    while whole[place + 1] != 0xD9:
        end = place + 2 + struct.unpack(">H", whole[place + 2 : place + 4])[0]
        if whole[place + 1] == 0xDA:
            while not (whole[end] == 0xFF and whole[end + 1] != 0 and not 0xD0 <= whole[end + 1] <= 0xD7):
                end += 1
            last = whole[place:end]
        place = end
    return whole[:place] + last * scans + b"\xff\xd9"


def webp(side: int) -> bytes:
    """A few bytes that unfold to side x side pixels with alpha."""
    return encoded(Image.new("RGBA", (side, side), (10, 20, 30, 40)), "WEBP", lossless=True)


def chunk(name: bytes, data: bytes) -> bytes:
    """Of a PNG."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int, height: int, bits: int, colour: int, row: bytes, before: bytes = b"") -> bytes:
    """A PNG of equal rows. ``colour``: its colour type; ``before``: chunks that come before the pixels."""
    packer = zlib.compressobj(9)
    rows = b"".join([*(packer.compress(b"\0" + row) for _ in range(height)), packer.flush()])
    head = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + before + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def tiff(size: tuple[int, int], tags: dict[int, tuple[int, bytes]], pixels: bytes) -> bytes:
    """A little-endian TIFF of one strip. ``tags``: type and value of each beside size and strip."""
    width, height = (struct.pack("<I", side) for side in size)
    one = {256: (4, width), 257: (4, height), 277: (3, b"\1\0"), 278: (4, height)}
    one |= {273: (4, struct.pack("<I", 8)), 279: (4, struct.pack("<I", len(pixels)))}
    entries, tail = b"", b""
    begin = 8 + len(pixels)
    for tag, (kind, value) in sorted((one | tags).items()):
        count = len(value) // {3: 2, 4: 4, 8: 2, 9: 4, 11: 4}[kind]
        place = value.ljust(4, b"\0") if len(value) <= 4 else struct.pack("<I", begin + len(tail))
        tail += value if len(value) > 4 else b""
        entries += struct.pack("<HHI", tag, kind, count) + place
    head = struct.pack("<2sHI", b"II", 42, begin + len(tail))
    return head + pixels + tail + struct.pack("<H", len(entries) // 12) + entries + bytes(4)


def packed_tiff(side: int, tile: int, blob: bytes) -> bytes:
    """A PackBits TIFF of ``side`` x ``side`` grey pixels whose tiles all are the same ``blob``."""
    count = (side // tile) ** 2
    offsets, lengths = struct.pack("<I", 8) * count, struct.pack("<I", len(blob)) * count
    begin = 8 + len(blob)
    entries = [(256, 4, 1, side), (257, 4, 1, side), (258, 3, 1, 8), (259, 3, 1, 32773), (262, 3, 1, 1), (277, 3, 1, 1)]
    entries += [(322, 4, 1, tile), (323, 4, 1, tile), (324, 4, count, begin), (325, 4, count, begin + len(offsets))]
    head = struct.pack("<2sHI", b"II", 42, begin + 2 * len(offsets))
    body = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return head + blob + offsets + lengths + struct.pack("<H", len(entries)) + body + bytes(4)
