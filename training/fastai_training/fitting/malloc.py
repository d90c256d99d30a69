"""How the C library's allocator treats a training step's activations."""

from __future__ import annotations

import ctypes

# malloc.h
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4


def _libc() -> ctypes.CDLL | None:
    libc = ctypes.CDLL(None)
    return libc if hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim") else None  # glibc alone has both


def keep_freed_memory() -> bool:
    """Keep what is freed for the next request; whether that can be set here.

    glibc maps each large block anew and gives it back when it is freed: the kernel then clears every page of every
    activation of every step, which took half of a step's time on two cores. Memory's peak grows by a seventh.
    """
    libc = _libc()
    return libc is not None and libc.mallopt(M_MMAP_MAX, 0) == 1 and libc.mallopt(M_TRIM_THRESHOLD, -1) == 1


def give_back() -> None:
    """Give the system what is free: training is over, what comes next needs little."""
    libc = _libc()
    if libc is not None:
        libc.malloc_trim(0)
