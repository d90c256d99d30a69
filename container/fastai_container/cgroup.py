"""This container's control group, of version 2 or 1: its limits, and how often it ran out of memory."""

from __future__ import annotations

from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
#: A cgroup of version 1 without a limit reports a number near 2**63.
_NO_LIMIT = 1 << 60


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None


def _number(path: Path) -> int | None:
    text = _read(path)
    try:
        return None if text is None else int(text)
    except ValueError:
        return None


def _field(path: Path, name: str) -> int | None:
    """The number after ``name`` in a file of names and numbers; None where there is no such file or line."""
    lines = (_read(path) or "").splitlines()
    return next((int(line.split()[1]) for line in lines if line.split()[:1] == [name]), None)


def cpu_quota(cgroup: Path = CGROUP) -> float | None:
    """Cores that this container may use; None where there is no limit."""
    quota = _read(cgroup / "cpu.max")  # version 2: "200000 100000" or "max 100000"
    if quota is not None:
        limit, period = quota.split()
        return None if limit == "max" else int(limit) / int(period)
    limit_us, period_us = (_number(cgroup / "cpu" / f"cpu.cfs_{name}_us") for name in ("quota", "period"))
    return None if limit_us is None or not period_us or limit_us <= 0 else limit_us / period_us


def memory_limit_bytes(cgroup: Path = CGROUP) -> int | None:
    """The memory limit; None where there is none."""
    for path in (cgroup / "memory.max", cgroup / "memory" / "memory.limit_in_bytes"):
        limit = _number(path)
        if limit is not None and limit < _NO_LIMIT:
            return limit
    return None


def oom_kills(cgroup: Path = CGROUP) -> int | None:
    """Processes that the out-of-memory killer ended in this container; None when the kernel doesn't say."""
    if (cgroup / "memory.events").exists():
        return _field(cgroup / "memory.events", "oom_kill")
    return _field(cgroup / "memory" / "memory.oom_control", "oom_kill")


def memory_limit_hits(cgroup: Path = CGROUP) -> int | None:
    """How often the memory limit was reached; None when the kernel doesn't say."""
    if (cgroup / "memory.events").exists():
        return _field(cgroup / "memory.events", "max")
    return _number(cgroup / "memory" / "memory.failcnt")
