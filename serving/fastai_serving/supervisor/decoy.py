"""A process that does nothing, for the kernel to end in the front end's place when memory is used up.

Memory of a worker that the kernel ended is given back some milliseconds after the worker has left the kernel's list of
processes. Whoever asks for memory in that time makes the kernel end one more process, and without this one the front
end is the next (seen with Linux 6.18, in one of some twenty kills where files had to be read again).
"""

from __future__ import annotations

import contextlib
import subprocess
from pathlib import Path

#: After the workers (``handler``), before the front end, whose score is its share of the memory alone.
#: proc(5): https://man7.org/linux/man-pages/man5/proc_pid_oom_score_adj.5.html
_OOM_SCORE = "450"


class Decoy:
    """Be there from ``start`` until ``stop``, or until this process ends: it reads what will never be written."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start it, again where it was ended; where it can't be, the server does without."""
        self.stop()
        with contextlib.suppress(OSError):
            self._process = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
            Path(f"/proc/{self._process.pid}/oom_score_adj").write_text(_OOM_SCORE, encoding="ascii")

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is not None and process.stdin is not None:
            process.stdin.close()
            process.kill()
            process.wait()  # no error where the supervisor has reaped it
