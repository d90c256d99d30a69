"""What ends a command: an error with a sentence for the user, or a signal."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from types import FrameType


class LocalError(Exception):
    """Something is missing or went wrong; the message says what, and what to do. Printed without a traceback."""

    exit_code = 1

    def __init__(self, message: str, exit_code: int | None = None) -> None:
        super().__init__(message)
        if exit_code is not None:
            self.exit_code = exit_code


class UsageError(LocalError):
    """A variable given to make is missing or mistyped."""

    exit_code = 2


class EngineUnavailableError(LocalError):
    """No container engine can be used; the message is the reason."""


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP: ends a command the way Ctrl-C does, with 128 + the signal's number."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal_number)
        self.exit_code = 128 + signal_number


def _on_signal(number: int, _: FrameType | None) -> None:
    raise Terminated(number)


def exit_code_of(command: Callable[[], int], interrupted: str = "interrupted") -> int:
    """Return the exit code of a whole command, which prints what ended it in place of a traceback.

    ``interrupted`` is what Ctrl-C leaves to say. From here on SIGTERM and SIGHUP are raised as Terminated.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _on_signal)
    try:
        return command()
    except LocalError as error:
        sys.stdout.flush()
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except Terminated as signalled:
        return signalled.exit_code
    except KeyboardInterrupt:
        print(interrupted, file=sys.stderr)
        return 130
    except BrokenPipeError:
        # who read us (head, less) has gone; Python would complain once more when it flushes at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except OSError as error:
        print(f"error: {error.filename or 'the system'}: {error.strerror or error}", file=sys.stderr)
        return 1
