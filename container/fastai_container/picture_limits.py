"""What one picture may have and take: numbers alone, so that who only needs them doesn't import what reads pictures."""

from __future__ import annotations

#: A picture with more pixels is refused from its header, before any is decoded. 4000x3000 has 12 million.
MAX_PIXELS = 100_000_000
#: What decoding one picture may take, at most and whatever the memory (bytes): a second's work or two.
MAX_PICTURE_BYTES = 512 * 2**20
#: Always accept a 12-megapixel photo, whatever the memory: progressive and not subsampled it takes 100 MB.
MIN_PICTURE_BYTES = 112 * 2**20
