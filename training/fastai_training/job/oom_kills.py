"""Detect OOM kills in this container."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fastai_container.cgroup import CGROUP, memory_limit_hits, oom_kills


@dataclass(frozen=True)
class OomCount:
    """``kills``: processes that the out-of-memory killer ended; ``hits``: how often the limit was reached (or None)."""

    kills: int | None
    hits: int | None

    @classmethod
    def read(cls, cgroup: Path = CGROUP) -> OomCount:
        """Read the counters of this container's cgroup."""
        return cls(oom_kills(cgroup), memory_limit_hits(cgroup))

    def killed_since(self, before: OomCount) -> bool | None:
        """Whether a process was killed for memory after ``before``; None when the kernel doesn't say."""
        if self.kills is not None and before.kills is not None:
            return self.kills > before.kills
        if self.hits is not None and before.hits is not None and self.hits == before.hits:
            return False
        return None
