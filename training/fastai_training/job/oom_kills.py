"""Whether the kernel's out-of-memory killer was at work in this container."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


def _field(path: Path, name: str) -> int | None:
    """The number after ``name`` in a file of names and numbers; None where there is no such file or line."""
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    return next((int(line.split()[1]) for line in lines if line.split()[:1] == [name]), None)


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


@dataclass(frozen=True)
class OomCount:
    """``kills``: processes that the out-of-memory killer ended; ``hits``: how often the limit was reached (or None)."""

    kills: int | None
    hits: int | None

    @classmethod
    def read(cls, cgroup: Path = CGROUP) -> OomCount:
        """The counters of this container's cgroup, version 2 or 1."""
        if (cgroup / "memory.events").exists():
            return cls(_field(cgroup / "memory.events", "oom_kill"), _field(cgroup / "memory.events", "max"))
        return cls(
            _field(cgroup / "memory" / "memory.oom_control", "oom_kill"), _number(cgroup / "memory" / "memory.failcnt")
        )

    def killed_since(self, before: OomCount) -> bool | None:
        """Whether a process was killed for memory after ``before``; None when the kernel doesn't say."""
        if self.kills is not None and before.kills is not None:
            return self.kills > before.kills
        if self.hits is not None and before.hits is not None and self.hits == before.hits:
            return False
        return None
