"""Decoded pictures, kept in memory from epoch to epoch and shared by the loader's workers."""

from __future__ import annotations

import mmap
import multiprocessing

import numpy as np
from PIL import Image

from fastai_container.resources import free_memory_bytes

MB = 2**20
#: ``auto`` takes this share of the memory that is free.
SHARE = 0.25
#: A larger picture is decoded anew each time: kept, it would be there three times whenever it is asked for.
LARGEST = 64 * MB


def cache_bytes(asked: int | str, processes: int = 1) -> int:
    """Bytes for each of the host's ``processes``; ``asked`` is the hyperparameter cache_mb."""
    total = int((free_memory_bytes() or 0) * SHARE) if asked == "auto" else int(asked) * MB
    return total // processes


class PictureCache:
    """RGB pictures by number, 0 to ``count`` - 1, in at most ``size`` bytes; once full, it takes no more.

    The memory is anonymous and shared: workers forked from this process read and fill it, /dev/shm's size does not
    matter, and pages are taken only when a picture is written to them.
    """

    def __init__(self, count: int, size: int) -> None:
        self.size = size
        self.pixels = mmap.mmap(-1, max(size, 1))
        # For each picture: where it starts, plus 1 (0 is: not there), its width and its height.
        self.index = np.frombuffer(mmap.mmap(-1, max(count, 1) * 24), dtype=np.int64).reshape(-1, 3)
        self.used = multiprocessing.Value("q", 0)

    def get(self, number: int) -> Image.Image | None:
        start, width, height = (int(value) for value in self.index[number])
        if start == 0:
            return None
        with memoryview(self.pixels) as pixels, pixels[start - 1 : start - 1 + width * height * 3] as part:
            return Image.frombytes("RGB", (width, height), part)

    def put(self, number: int, picture: Image.Image) -> bool:
        """Keep ``picture``; False when there is no room, or it is too large to be worth it."""
        length = picture.width * picture.height * 3
        if length > LARGEST:
            return False
        with self.used.get_lock():
            start = self.used.value
            if start + length > self.size:
                return False
            self.used.value = start + length
        self.pixels[start : start + length] = picture.tobytes()
        self.index[number, 1:] = picture.size
        self.index[number, 0] = start + 1  # last: from now on it is there
        return True
