"""Run other programs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fastai_local.errors import LocalError

NOT_FOUND = 127
TIMED_OUT = 124


@dataclass(frozen=True)
class Result:
    """The result of a program: exit code (127: not found, 124: timed out), standard output and standard error."""

    code: int
    out: str = ""
    err: str = ""

    @property
    def ok(self) -> bool:
        return self.code == 0


def say(message: str) -> None:
    """Print a line and flush it: the programs that we run write there too, and the order must stay the real one."""
    print(message, flush=True)


def warn(message: str) -> None:
    print(f"warning: {message}", file=sys.stderr, flush=True)


def merged(env: Mapping[str, str] | None) -> dict[str, str] | None:
    return None if env is None else {**os.environ, **env}


def capture(
    command: Sequence[str | Path],
    *,
    timeout: float = 60,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Result:
    """Run a command and return its output. A missing program or a timeout (in seconds) is a result, not an error."""
    try:
        done = subprocess.run(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            env=merged(env),
            cwd=cwd,
            check=False,
        )
    except (FileNotFoundError, PermissionError) as error:
        return Result(NOT_FOUND, "", str(error))
    except subprocess.TimeoutExpired:
        return Result(TIMED_OUT, "", f"no answer in {timeout:g} seconds")
    return Result(done.returncode, done.stdout, done.stderr)


def stream(
    command: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float | None = None,
) -> int:
    """Run a command whose output goes to ours; return its exit code, or 124 after ``timeout`` seconds.

    Raise ``LocalError`` for a command that can't be run.
    """
    sys.stdout.flush()
    try:
        return subprocess.run(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            cwd=cwd,
            env=merged(env),
            timeout=timeout,
            check=False,
        ).returncode
    except (FileNotFoundError, PermissionError) as error:
        raise LocalError(f"{command[0]} can't be run: {error.strerror}") from error
    except subprocess.TimeoutExpired:
        return TIMED_OUT


def tee(
    command: Sequence[str | Path], *, env: Mapping[str, str] | None = None, errors_too: bool = False
) -> tuple[int, str]:
    """Run a command and show its output as it comes; return its exit code and the last line that is not blank.

    The line is one of standard output, or with ``errors_too`` of both. Raise ``LocalError`` for a command that can't be
    run.
    """
    last = ""
    try:
        process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if errors_too else None,
            text=True,
            errors="replace",
            env=merged(env),
        )
    except (FileNotFoundError, PermissionError) as error:
        raise LocalError(f"{command[0]} can't be run: {error.strerror}") from error
    with process:
        assert process.stdout is not None
        for line in process.stdout:
            say(line.rstrip("\n"))
            last = line.strip() or last
    return process.returncode, last


def error_in(log: str) -> str | None:
    """Return the text of a log's last ``error: …`` line, which our programs write when they know why they failed."""
    lines = [line for line in log.splitlines() if line.startswith("error: ")]
    return lines[-1].removeprefix("error: ") if lines else None


def last_line(text: str) -> str:
    """Return the last line that is not blank: most programs say there what went wrong."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""
