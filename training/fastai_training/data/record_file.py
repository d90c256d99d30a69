"""Read MXNet's RecordIO files of pictures, as SageMaker's built-in image classification takes them.

A file is records: a magic number, a word with the length (29 bits) and which part of a record it is (3 bits), the
content, padding to four bytes. A record is a header (flag, label, two numbers), ``flag`` labels more if it is not 0,
and a picture's file. Sources: https://mxnet.apache.org/versions/1.9.1/api/faq/recordio_format and ``IRHeader`` of
https://mxnet.apache.org/versions/1.9.1/api/python/docs/api/mxnet/recordio/index.html.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from fastai_training.data.labels import DataError
from fastai_training.quoting import shown

MAGIC = 0xCED7230A
_WORDS = struct.Struct("<II")
_HEADER = struct.Struct("<IfQQ")
_LENGTH_BITS = 29
_WHOLE, _FIRST, _MIDDLE, _LAST = range(4)
_SUFFIX_OF = (
    *((b"\xff\xd8\xff", ".jpg"), (b"\x89PNG", ".png"), (b"GIF8", ".gif"), (b"BM", ".bmp"), (b"RIFF", ".webp")),
    *((b"II*\0", ".tif"), (b"MM\0*", ".tif")),
)


@dataclass(frozen=True)
class Record:
    """A picture: its number in the file, its labels as numbers, and its bytes."""

    number: int
    labels: list[float]
    content: bytes

    @property
    def suffix(self) -> str:
        """What a file of such bytes is called; "" for what is no picture that is read here."""
        return next((suffix for start, suffix in _SUFFIX_OF if self.content.startswith(start)), "")


def _pieces(file: BinaryIO, path: Path) -> Iterator[tuple[int, bytes]]:
    """Which part of a record each piece is, and its content. Raises DataError."""
    while head := file.read(_WORDS.size):
        place = file.tell() - len(head)
        if len(head) < _WORDS.size:
            raise DataError(f"{shown(path.name)} is cut short at byte {place}; copy it again")
        magic, word = _WORDS.unpack(head)
        if magic != MAGIC:
            raise DataError(
                f"{shown(path.name)} is no RecordIO file, or damaged: at byte {place} is no record; make it with "
                "MXNet's im2rec, or copy it again"
            )
        length = word & ((1 << _LENGTH_BITS) - 1)
        content = file.read(length)
        file.read(-length % 4)
        if len(content) < length:
            raise DataError(f"{shown(path.name)} is cut short in the record at byte {place}; copy it again")
        yield word >> _LENGTH_BITS, content


def _joined(file: BinaryIO, path: Path) -> Iterator[bytes]:
    """Whole records: one that holds the magic number is cut there into pieces. Raises DataError."""
    parts: list[bytes] = []
    for kind, content in _pieces(file, path):
        if (kind in (_WHOLE, _FIRST)) == bool(parts) or kind > _LAST:
            raise DataError(f"{shown(path.name)} is damaged: a piece of a record is missing; copy it again")
        parts.append(content)
        if kind in (_WHOLE, _LAST):
            yield struct.pack("<I", MAGIC).join(parts)
            parts = []
    if parts:
        raise DataError(f"{shown(path.name)} is cut short: its last record has no end; copy it again")


def read_records(path: Path) -> Iterator[Record]:
    """The records of a file, one by one. Raises DataError for a file that is damaged or of another kind."""
    with path.open("rb") as file:
        for content in _joined(file, path):
            if len(content) < _HEADER.size:
                raise DataError(
                    f"{shown(path.name)} has a record of {len(content)} bytes, which is no picture with a label"
                )
            flag, label, number, _ = _HEADER.unpack_from(content)
            body = content[_HEADER.size :]
            labels = [label]
            if flag:
                if len(body) < 4 * flag:
                    raise DataError(f"{shown(path.name)} has a record with fewer labels than the {flag} it speaks of")
                labels = list(struct.unpack_from(f"<{flag}f", body))
                body = body[4 * flag :]
            yield Record(number, labels, body)
