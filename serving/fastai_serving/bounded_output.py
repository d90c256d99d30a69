"""Standard output and error of a worker, line by line no longer than the front end can take.

The front end reads what a worker prints a line at a time, into its own small memory; a script that prints a tensor of
50 MB on one line must not end it.
"""

from __future__ import annotations

import sys
from typing import Any, TextIO

#: Characters of a line; the rest is counted and left out.
MAX_LINE = 32_768


class BoundedStream:
    """A text stream whose lines are cut; all but writing is the stream's own."""

    def __init__(self, stream: TextIO, limit: int = MAX_LINE) -> None:
        self._stream, self._limit = stream, limit
        self._length = self._dropped = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write ``text`` as far as its lines are within the limit; the number of characters that came."""
        if "\n" not in text and self._length + len(text) <= self._limit:
            self._length += len(text)
            self._stream.write(text)
            return len(text)
        pieces = []
        for line in text.splitlines(keepends=True):
            ended = line.endswith("\n")
            content = line[:-1] if ended else line
            kept = content[: max(0, self._limit - self._length)]
            pieces.append(kept)
            self._length += len(kept)
            self._dropped += len(content) - len(kept)
            if ended:
                if self._dropped:
                    pieces.append(f" ... ({self._dropped:,} characters left out)")
                pieces.append("\n")
                self._length = self._dropped = 0
        self._stream.write("".join(pieces))
        return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)


def bound() -> None:
    """Cut the lines of this process's standard output and error from now on."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and not isinstance(stream, BoundedStream):
            setattr(sys, name, BoundedStream(stream))
