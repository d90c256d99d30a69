"""Being told to stop: SageMaker sends SIGTERM, and SIGKILL ``sagemaker.TRAINING_STOP_SECONDS`` later."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


class Stop:
    """Ends the process with 128 + the signal's number: at once, or where it suits while ``deferred()``.

    At once means without an exception: one that is raised while torch or OpenVINO is imported, or from a function that
    compiled code calls, ends in an abort or in an ImportError. So ``clean_up`` removes what must not be left behind.
    """

    def __init__(self, clean_up: Callable[[], None] = lambda: None) -> None:
        self.number = 0
        self._deferred = False
        self._clean_up = clean_up

    @property
    def requested(self) -> bool:
        return self.number != 0

    @property
    def exit_code(self) -> int:
        return 128 + (self.number or signal.SIGTERM)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        self.number = number
        if not self._deferred:
            # Not print: it may be what was interrupted.
            os.write(1, f"stopped by {signal.Signals(number).name}\n".encode())
            try:
                self._clean_up()
            finally:
                os._exit(self.exit_code)

    def install(self) -> None:
        """Take SIGTERM and SIGINT; the main thread's to call."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._handle)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Inside, a signal is only noted: the training loop stops after the batch and writes a checkpoint first."""
        self._deferred = True
        try:
            yield
        finally:
            self._deferred = False
        if self.requested:  # it came after the loop had looked for the last time
            raise SystemExit(self.exit_code)
