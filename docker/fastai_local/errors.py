"""What ends a command: an error with a sentence for the user, or a signal."""

from __future__ import annotations


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
