"""Processes below this one, as /proc shows them."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

_SHELLS = frozenset({"sh", "bash", "dash", "ash", "zsh", "ksh", "busybox"})
_PROC = Path("/proc")


def _parents() -> dict[int, int]:
    """The parent of every living process."""
    found = {}
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError):
                # "pid (name) state parent ...", where the name may hold anything
                state, parent = (
                    (entry / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[:2]
                )
                if state != "Z":
                    found[int(entry.name)] = int(parent)
    return found


def children(pid: int) -> list[int]:
    return [child for child, parent in _parents().items() if parent == pid]


def descendants(pid: int) -> list[int]:
    """All living processes below ``pid``, parents first."""
    parents, found, level = _parents(), [], [pid]
    while level:
        level = [child for child, parent in parents.items() if parent in level]
        found += level
    return found


def send(pid: int, number: int) -> None:
    """Send a signal to a process that may have ended already."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def stop_targets(pid: int) -> list[int]:
    """Which processes a stop signal meant for the program ``pid`` goes to.

    A shell would die of it and leave what it waits for behind, so that gets it too. torchrun would give its workers 30
    seconds, whatever they are doing, so they get it themselves and torchrun waits for them. All others get it alone:
    data loader workers, say, must go on until their parent has finished the batch.
    """
    try:
        arguments = (_PROC / str(pid) / "cmdline").read_bytes().split(b"\0")
        program = (_PROC / str(pid) / "exe").readlink().name
    except OSError:
        return [pid]
    if b"torch.distributed.run" in arguments:
        return children(pid) or [pid]
    if program in _SHELLS:
        return [pid, *children(pid)]
    return [pid]


def forward(pid: int, number: int) -> list[int]:
    """Send ``number`` to the program ``pid`` and whatever it waits for; all that it was sent to."""
    targets = stop_targets(pid) if number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP) else [pid]
    for target in targets:
        send(target, number)
    return targets


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def make_first_choice_of_oom_killer(pid: int) -> None:
    """When memory runs out, ``pid`` and what it starts should die, not the one that can say so."""
    with contextlib.suppress(OSError):
        (_PROC / str(pid) / "oom_score_adj").write_text("500", encoding="ascii")
