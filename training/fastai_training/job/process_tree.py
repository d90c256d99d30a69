"""Find processes below this one in /proc, and send them signals."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

_SHELLS = frozenset({"sh", "bash", "dash", "ash", "zsh", "ksh", "busybox"})
_PROC = Path("/proc")


def _parents() -> dict[int, int]:
    """Return the parent of every living process, by process id."""
    found = {}
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError):
                # "pid (name) state parent ..."; the name may contain any character, so split after its last bracket
                state, parent = (
                    (entry / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[:2]
                )
                if state != "Z":
                    found[int(entry.name)] = int(parent)
    return found


def children(pid: int) -> list[int]:
    return [child for child, parent in _parents().items() if parent == pid]


def descendants(pid: int) -> list[int]:
    """Return all living processes below ``pid``, parents first."""
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
    """Return the processes that must get a stop signal meant for the program ``pid``.

    A shell would die from the signal and leave the program it waits for running, so both get it. torchrun would kill
    its workers after 30 seconds, whatever they are doing, so the workers get the signal and torchrun, which doesn't,
    waits for them. Any other program gets it alone: its data loader workers, for example, must go on until it has
    finished the batch.
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
    """Send the signal ``number`` to the program ``pid`` and what it waits for; return the processes that got it."""
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
    """Let the OOM killer pick ``pid`` and its children first, so that this process survives to report it."""
    with contextlib.suppress(OSError):
        (_PROC / str(pid) / "oom_score_adj").write_text("500", encoding="ascii")
