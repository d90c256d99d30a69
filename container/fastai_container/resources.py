"""What this container may use: a cgroup's limits count, not what the host has."""

from __future__ import annotations

import math
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from fastai_container.cgroup import cpu_quota, memory_limit_bytes

__all__ = [
    "cpu_count",
    "free_memory_bytes",
    "gpu_count",
    "memory_limit_bytes",
    "shared_memory_free_bytes",
    "total_memory_bytes",
    "visible_gpu_count",
]


def cpu_count() -> int:
    """Cores this process may use: its affinity mask and its cgroup's quota (rounded up), at least 1."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cpu_quota()
    return max(1, cores if quota is None else min(cores, math.ceil(quota)))


def _meminfo(name: str) -> int | None:
    try:
        text = Path("/proc/meminfo").read_text(encoding="ascii")
    except OSError:
        return None
    line = next((line for line in text.splitlines() if line.startswith(f"{name}:")), None)
    return int(line.split()[1]) * 1024 if line else None


def free_memory_bytes() -> int | None:
    """What this container may still take: the host's available memory, at most the container's limit.

    None where neither is known.
    """
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


def visible_gpu_count(environment: Mapping[str, str] | None = None) -> int:
    """GPUs that a process with this environment sees: what CUDA_VISIBLE_DEVICES leaves, else all that the driver has.

    Without importing torch.
    """
    environment = os.environ if environment is None else environment
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        ids = [item.strip() for item in visible.split(",")]
        return len(ids[: ids.index("-1")] if "-1" in ids else [item for item in ids if item])
    if shutil.which("nvidia-smi") is None:
        return 0
    try:
        listed = subprocess.run(["nvidia-smi", "--list-gpus"], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return 0
    return sum(line.startswith("GPU ") for line in listed.stdout.splitlines())
