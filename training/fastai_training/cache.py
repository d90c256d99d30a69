"""Decoded pictures, kept in memory from epoch to epoch and shared by the loader's workers."""

from __future__ import annotations

import mmap
import multiprocessing
from pathlib import Path

import numpy as np
from PIL import Image

from fastai_container.resources import memory_limit_bytes

MB = 2**20
#: ``auto`` takes this share of the memory that is free.
SHARE = 0.25


def free_memory_bytes() -> int:
    """What this container may still take: the host's available memory, at most the container's limit."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        available = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return 0
    limit = memory_limit_bytes()
    return available if limit is None else min(available, limit)


def cache_bytes(asked: int | str, processes: int = 1) -> int:
    """Bytes for each of the host's ``processes``; ``asked`` is the hyperparameter cache_mb."""
    total = int(free_memory_bytes() * SHARE) if asked == "auto" else int(asked) * MB
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
        return Image.frombytes("RGB", (width, height), self.pixels[start - 1 : start - 1 + width * height * 3])

    def put(self, number: int, picture: Image.Image) -> bool:
        """Keep ``picture``; False when there is no room."""
        length = picture.width * picture.height * 3
        with self.used.get_lock():
            start = self.used.value
            if start + length > self.size:
                return False
            self.used.value = start + length
        self.pixels[start : start + length] = picture.tobytes()
        self.index[number, 1:] = picture.size
        self.index[number, 0] = start + 1  # last: from now on it is there
        return True
