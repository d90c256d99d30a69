"""The last lines that a process wrote, kept for the failure reason while its output passes through."""

from __future__ import annotations

import re
from collections import deque

#: Lines kept, and bytes of one line: enough for a traceback, bounded whatever a process prints.
LINES, LINE_BYTES = 400, 4000
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b[@-_]|[\x00-\x08\x0b-\x1f\x7f]")


def _shown(line: bytes) -> str:
    """The line as a terminal shows it: a progress bar's last state, no colours."""
    text = line.decode("utf-8", "replace").rstrip("\r\n")
    return _ESCAPES.sub("", text.rpartition("\r")[2]).rstrip()


class Tail:
    """Takes chunks of streams ("stdout", "stderr") as they come and keeps the last lines of each, in order."""

    def __init__(self) -> None:
        self._lines: deque[tuple[str, str]] = deque(maxlen=LINES)
        self._open: dict[str, bytes] = {}

    def feed(self, stream: str, chunk: bytes) -> None:
        """Take the next bytes of ``stream``."""
        *lines, rest = (self._open.get(stream, b"") + chunk).split(b"\n")
        for line in lines[-LINES:]:
            self._lines.append((stream, _shown(line[-LINE_BYTES:])))
        # Of a bar that never ends its line, what a terminal shows now is enough.
        self._open[stream] = rest[-LINE_BYTES:]

    def entries(self) -> list[tuple[str, str]]:
        """Return the last lines as (stream, text), in the order in which they ended."""
        return [*self._lines, *((name, _shown(rest)) for name, rest in self._open.items() if rest)]

    def lines(self, stream: str | None = None) -> list[str]:
        """Return the last lines of ``stream``, or of all streams."""
        return [text for name, text in self.entries() if stream in (None, name)]
