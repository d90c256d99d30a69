"""What this container may use: a cgroup's limits count, not what the host has."""

from __future__ import annotations

import math
import os
import shutil
from pathlib import Path

# A cgroup without a limit reports a number near 2**63.
_NO_LIMIT = 1 << 60


#: A picture with more is refused from its header, before any is decoded. 4000x3000 has 12 million. It stands here so
#: that what only needs the number doesn't import what reads pictures.
MAX_PIXELS = 100_000_000
#: What decoding one picture may take, at most and whatever the memory (bytes): a second's work or two.
MAX_PICTURE_BYTES = 512 * 2**20
#: A telephone's JPEG of 12 megapixels is decoded whatever the memory; progressive and not subsampled it takes 100 MB.
MIN_PICTURE_BYTES = 112 * 2**20


def _read(path: str) -> str | None:
    try:
        return Path(path).read_text(encoding="ascii").strip()
    except OSError:
        return None


def _cpu_quota() -> float | None:
    quota = _read("/sys/fs/cgroup/cpu.max")  # cgroup 2: "200000 100000" or "max 100000"
    if quota is not None:
        limit, period = quota.split()
        return None if limit == "max" else int(limit) / int(period)
    limit_us, period_us = (_read(f"/sys/fs/cgroup/cpu/cpu.cfs_{name}_us") for name in ("quota", "period"))
    if limit_us is None or period_us is None or int(limit_us) <= 0:
        return None
    return int(limit_us) / int(period_us)


def cpu_count() -> int:
    """Cores this process may use: its affinity mask and its cgroup's quota (rounded up), at least 1."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _cpu_quota()
    return max(1, cores if quota is None else min(cores, math.ceil(quota)))


def memory_limit_bytes() -> int | None:
    """The cgroup's memory limit in bytes, or None where there is none."""
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        text = _read(path)
        if text is not None and text != "max" and int(text) < _NO_LIMIT:
            return int(text)
    return None


def _meminfo(name: str) -> int | None:
    text = _read("/proc/meminfo") or ""
    line = next((line for line in text.splitlines() if line.startswith(f"{name}:")), None)
    return int(line.split()[1]) * 1024 if line else None


def free_memory_bytes() -> int | None:
    """What this container may still take: the host's available memory, at most the container's limit; None where
    neither is known."""
    known = [value for value in (_meminfo("MemAvailable"), memory_limit_bytes()) if value is not None]
    return min(known, default=None)


def total_memory_bytes() -> int | None:
    """The host's memory, at most the container's limit: the same whatever else runs; None where neither is known."""
    known = [value for value in (_meminfo("MemTotal"), memory_limit_bytes()) if value is not None]
    return min(known, default=None)


def shared_memory_free_bytes() -> int | None:
    """Free bytes in /dev/shm, through which data loader workers pass their batches; None where there is none."""
    try:
        return shutil.disk_usage("/dev/shm").free  # noqa: S108 - the mount itself, nothing is written
    except OSError:
        return None


def gpu_count() -> int:
    """NVIDIA GPUs that this container was given: its device files, which need no driver library to count."""
    return sum(path.name.removeprefix("nvidia").isdecimal() for path in Path("/dev").glob("nvidia*"))
