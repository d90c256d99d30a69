"""Give memory back to the machine after large requests: the C library keeps what was freed for the next one."""

from __future__ import annotations

import ctypes
import threading
import time

#: Bytes of a batch's bodies or responses that are worth it.
LARGE = 1 << 20
#: Seconds without a large batch after which nobody is held up by it.
QUIET_SECONDS = 5.0


class Trimmer:
    """Trim the C library's heap once the large batches are over."""

    def __init__(self, quiet_seconds: float = QUIET_SECONDS) -> None:
        self._quiet = quiet_seconds
        self._lock = threading.Lock()
        self._last = 0.0
        self._waiting = False

    def note(self, size: int) -> None:
        """Note that a batch with ``size`` bytes of bodies and responses was worked on."""
        if size < LARGE:
            return
        with self._lock:
            self._last = time.monotonic()
            if self._waiting:
                return
            self._waiting = True
        threading.Thread(target=self._wait, name="trim", daemon=True).start()

    def _wait(self) -> None:
        while True:
            with self._lock:
                left = self._last + self._quiet - time.monotonic()
                if left <= 0:
                    self._waiting = False
                    break
            time.sleep(left)
        trim()


def trim() -> None:
    """Give free pages of the C library's heap back; nothing where it is not glibc."""
    function = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if function is not None:
        function(0)
