"""What a job writes to its log: one line at a time, at once.

A text that may hold anything (a file's name, another's message) is escaped by ``printable``, so that it stays one line.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from fastai_container.errors import printable

Log = Callable[[str], None]


def log(text: str) -> None:
    """Write ``text`` to the log, as it is."""
    print(text, flush=True)


def log_printable(text: str) -> None:
    """Write ``text`` to the log as one line."""
    log(printable(text))


def silent(_text: str) -> None:
    """Write nothing: what the processes other than the main one say, since that says it already."""


def warn(text: str) -> None:
    """Write a warning to the log."""
    log(f"warning: {printable(text)}")


def error(text: str) -> None:
    """Write why the job fails to standard error, as it is."""
    print(f"error: {text}", file=sys.stderr, flush=True)
