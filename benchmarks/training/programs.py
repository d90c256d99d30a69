"""Start a program, follow its log, its memory and its time."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.common import ROOT, pss_mb

#: Reading a process tree's PSS takes tens of milliseconds of a core.
SAMPLE_SECONDS = 2.0


@dataclass(frozen=True)
class Run:
    """``log``: (seconds since the start, line); ``peak_mb``: highest PSS of all its processes together."""

    seconds: float
    peak_mb: float
    log: list[tuple[float, str]]

    def when(self, words: str, *, last: bool = False) -> float:
        """Seconds from the start to the first (or last) line with ``words``. Raises ValueError when there is none."""
        found = [seconds for seconds, line in self.log if words in line]
        if not found:
            raise ValueError(f"no line of the log has {words!r}")
        return found[-1 if last else 0]


def run(arguments: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None) -> Run:
    """Run ``python ARGUMENTS`` in ``folder``. Raises RuntimeError with the log's end when it fails."""
    started = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    ended, peak = threading.Event(), [0.0]

    def sample() -> None:
        while not ended.wait(SAMPLE_SECONDS):
            peak[0] = max(peak[0], pss_mb([process.pid]))

    sampler = threading.Thread(target=sample, daemon=True)
    sampler.start()
    log: list[tuple[float, str]] = []
    try:
        assert process.stdout is not None
        for line in process.stdout:
            log.append((time.monotonic() - started, line.rstrip()))
        code = process.wait()
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(120)
        ended.set()
        sampler.join()
    seconds = time.monotonic() - started
    if code != 0:
        end = "\n".join(line for _, line in log[-15:])
        raise RuntimeError(f"{' '.join(arguments)} in {folder} ended with {code}:\n{end}")
    return Run(seconds, peak[0], log)


PLAIN = ROOT / "benchmarks" / "training" / "plain.py"
