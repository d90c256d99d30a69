"""Run a command the way PID 1 should: signals passed on, orphans reaped, the exit code its own.

The kernel ignores a signal to PID 1 that it has no handler for, so a command that became PID 1 itself could not be
stopped by SIGTERM.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from types import FrameType

#: What a container's runtime, a terminal or a person sends.
FORWARDED = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGWINCH,
)


def exit_code(status: int) -> int:
    """Return a shell's exit code for a wait status: 128 + the signal's number for a death by signal."""
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def run(command: list[str]) -> int:
    """Run ``command`` to its end and return its exit code. Raises OSError when it can't be started."""
    child = subprocess.Popen(command)

    def forward(number: int, _frame: FrameType | None) -> None:
        with contextlib.suppress(ProcessLookupError):  # it ended meanwhile
            os.kill(child.pid, number)

    for number in FORWARDED:
        signal.signal(number, forward)
    while True:
        ended, status = os.waitpid(-1, 0)
        if ended == child.pid:
            return exit_code(status)
