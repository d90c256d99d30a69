"""What a JPEG asks of its decoder, counted before any of it is decoded.

A JPEG of several scans makes libjpeg keep all coefficients and go through the whole picture once for each scan, however
few bytes that scan has: a file of 0.5 MB can hold a core for a minute (libjpeg-turbo's own advisory).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

START = b"\xff\xd8"
_END, _SCAN = 0xD9, 0xDA
#: Markers without a length: TEM, the restarts and SOI.
_BARE = frozenset({0x01, *range(0xD0, 0xD9)})
#: SOF0 to SOF15 without DHT, JPG and DAC, which lie among them.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
#: SOF2, 6, 10 and 14.
_PROGRESSIVE = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
#: Between segments anything may stand before a marker; among coded data FF00 is a byte and FFD0 to FFD7 are restarts.
_ANY_MARKER = re.compile(rb"\xff[^\x00\xff]")
_AFTER_DATA = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


@dataclass(frozen=True)
class Scans:
    """``count``: at most one more than was asked for; ``coefficient_bytes``: what is kept until the last one is read,
    0 for a picture of one scan, which is decoded as it is read."""

    count: int
    coefficient_bytes: int


def _coefficient_bytes(frame: bytes) -> int:
    """Two bytes for each coefficient; ``frame`` is a SOF segment without its length."""
    height, width = int.from_bytes(frame[1:3], "big"), int.from_bytes(frame[3:5], "big")
    factors = [(frame[place] >> 4, frame[place] & 15) for place in range(7, 6 + 3 * frame[5], 3)]
    widest, tallest = (max(1, *(factor[axis] for factor in factors), 1) for axis in (0, 1))
    return sum(2 * width * height * w * h // (widest * tallest) for w, h in factors)


def count_scans(body: bytes, most: int) -> Scans:
    """The scans of the first picture in ``body``; counting ends above ``most``.

    It goes from segment to segment, so a thumbnail inside of one isn't counted, nor are pictures behind the first.
    Raises IndexError when a frame's header is cut short.
    """
    place, count, kept = len(START), 0, 0
    components, progressive = 0, False
    pattern = _ANY_MARKER
    while match := pattern.search(body, place):
        marker, place = body[match.end() - 1], match.end()
        if marker == _END:
            break
        if marker in _BARE:
            continue
        length = int.from_bytes(body[place : place + 2], "big")
        segment = body[place + 2 : place + max(length, 2)]
        place += max(length, 2)
        pattern = _ANY_MARKER
        if marker in _FRAMES and not components:
            components, progressive, kept = segment[5], marker in _PROGRESSIVE, _coefficient_bytes(segment)
        elif marker == _SCAN:
            count += 1
            if count > most or (count == 1 and not progressive and segment[:1] == bytes([components])):
                # All components in the first scan of a sequential picture: libjpeg reads no other.
                return Scans(count, kept if count > 1 else 0)
            pattern = _AFTER_DATA
    return Scans(count, kept)
