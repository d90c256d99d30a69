"""Run one program to its end: pass on its output and its signals, limit how long a stop takes, reap zombies."""

from __future__ import annotations

import contextlib
import os
import pty
import selectors
import signal
import subprocess
import termios
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import FrameType
from typing import Any

from fastai_container.init import FORWARDED
from fastai_container.sagemaker import TRAINING_STOP_SECONDS
from fastai_training.job import process_tree
from fastai_training.job.log_tail import Tail

#: A program still running so long after SIGTERM is killed. That leaves time to write why before SageMaker's SIGKILL.
STOP_SECONDS = TRAINING_STOP_SECONDS - 20
#: How long to read output after the program's end: processes that it left running may hold its pipes open.
DRAIN_SECONDS = 2.0
#: How long a program may take to end after another host failed: it can't finish its batch without that host.
ABORT_SECONDS = 10
_STOPPING = (signal.SIGTERM, signal.SIGINT)
_STREAMS = {"stdout": 1, "stderr": 2}


@dataclass(frozen=True)
class Outcome:
    """How a program ended.

    ``status``: its exit code, or minus the number of the signal that ended it. ``stopped_by``: the signal that
    asked for a stop.
    """

    status: int
    stopped_by: int | None
    killed: bool
    aborted: bool

    @property
    def exit_code(self) -> int:
        """The exit code as a shell has it: 128 plus the signal's number if a signal ended the program."""
        return self.status if self.status >= 0 else 128 - self.status


class Supervisor:
    """Run a program in a session of its own. ``run`` may be called only once, and in the main thread."""

    def __init__(self, *, tail: Tail | None = None, stop_seconds: float = STOP_SECONDS) -> None:
        self.tail = tail or Tail()
        self.stop_seconds = stop_seconds
        self._selector = selectors.DefaultSelector()
        self._child: subprocess.Popen[bytes] | None = None
        self._deadline: float | None = None
        self._stopped_by: int | None = None
        self._asked: set[int] = set()
        self._aborted = self._killed = self._listening = False
        self._wake_read, self._wake_write = os.pipe()
        for end in (self._wake_read, self._wake_write):
            os.set_blocking(end, False)

    def abort(self) -> None:
        """End the program soon, because another host failed and it can't finish. May be called from any thread."""
        self._aborted = True
        with contextlib.suppress(OSError):
            os.write(self._wake_write, b"\0")

    def run(self, command: list[str], env: Mapping[str, str]) -> Outcome:
        """Run ``command`` and wait for its end. Raise ``OSError`` when it can't be started."""
        if not self._listening:
            self.listen()
        self._child = self._start(command, env)
        # A signal that came during the start had no process to go to.
        if self._stopped_by is not None:
            self._asked.update(process_tree.forward(self._child.pid, self._stopped_by))
        process_tree.make_first_choice_of_oom_killer(self._child.pid)
        self._selector.register(self._wake_read, selectors.EVENT_READ)
        while (status := self._reap()) is None:
            self._wait(self._timeout())
            self._press()
        self._drain()
        self._end_the_rest()
        return Outcome(status, self._stopped_by, self._killed, self._aborted)

    def listen(self) -> None:
        """Handle signals from now on. One that comes before ``run`` is passed on once the program runs."""
        self._listening = True

        def forward(number: int, _frame: FrameType | None) -> None:
            if number in _STOPPING and self._stopped_by is None:
                self._stopped_by = number
                self._deadline = time.monotonic() + self.stop_seconds
            if self._child is not None and self._child.returncode is None:
                self._asked.update(process_tree.forward(self._child.pid, number))

        for number in FORWARDED:
            signal.signal(number, forward)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)

    def _start(self, command: list[str], env: Mapping[str, str]) -> subprocess.Popen[bytes]:
        outputs = {name: _open_output(descriptor) for name, descriptor in _STREAMS.items()}
        try:
            # In a session of its own, so that Ctrl-C in a terminal reaches it only once, through us.
            child = subprocess.Popen(
                command,
                env=dict(env),
                stdout=outputs["stdout"][1],
                stderr=outputs["stderr"][1],
                start_new_session=True,
            )
        finally:
            for _, theirs in outputs.values():
                os.close(theirs)
        for name, (ours, _) in outputs.items():
            self._selector.register(ours, selectors.EVENT_READ, name)
        return child

    def _timeout(self) -> float | None:
        return None if self._deadline is None else max(0.0, self._deadline - time.monotonic())

    def _press(self) -> None:
        """Ask an aborted program to end; kill one whose time to end is over."""
        assert self._child is not None
        if self._aborted and self._deadline is None:
            self._deadline = time.monotonic() + ABORT_SECONDS
            process_tree.forward(self._child.pid, signal.SIGTERM)
        elif self._deadline is not None and time.monotonic() >= self._deadline:
            self._killed = True
            self._deadline = time.monotonic() + 1
            for pid in [*process_tree.descendants(self._child.pid), self._child.pid]:
                process_tree.send(pid, signal.SIGKILL)

    def _reap(self) -> int | None:
        """Reap what has ended (as PID 1 also orphans); return the program's status, or None while it runs."""
        assert self._child is not None
        if os.getpid() != 1:
            return self._child.poll()
        while self._child.returncode is None:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            if pid == self._child.pid:
                self._child.returncode = os.waitstatus_to_exitcode(status)
        return self._child.returncode

    def _wait(self, timeout: float | None) -> bool:
        """Pass on output that comes within ``timeout`` seconds; return whether there was any, or a wake-up."""
        ready = self._selector.select(timeout)
        for key, _ in ready:
            if key.fd == self._wake_read:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._wake_read, 4096)
            else:
                self._pass_on(key)
        return bool(ready)

    def _pass_on(self, key: selectors.SelectorKey) -> None:
        try:
            chunk = os.read(key.fd, 1 << 16)
        except OSError:  # a pseudo-terminal whose other end is closed
            chunk = b""
        if not chunk:
            self._selector.unregister(key.fd)
            os.close(key.fd)
            return
        self.tail.feed(key.data, chunk)
        with contextlib.suppress(OSError):  # nobody reads our output any more, but training must go on
            while chunk:
                chunk = chunk[os.write(_STREAMS[key.data], chunk) :]

    def _drain(self) -> None:
        end = time.monotonic() + DRAIN_SECONDS
        while len(self._selector.get_map()) > 1 and (left := end - time.monotonic()) > 0 and self._wait(left):
            pass

    def _end_the_rest(self) -> None:
        """Kill what is left; after a stop, what a shell left behind first has the remaining time for a checkpoint."""
        assert self._child is not None
        left = self._asked - {self._child.pid}
        while self._stopped_by is not None and self._timeout() and any(map(process_tree.is_alive, left)):
            self._wait(0.1)
            with contextlib.suppress(ChildProcessError):
                while os.getpid() == 1 and os.waitpid(-1, os.WNOHANG)[0]:
                    pass
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._child.pid, signal.SIGKILL)
        for key in list(self._selector.get_map().values()):
            if key.fd != self._wake_read:
                os.close(key.fd)
        self._selector.close()


def _open_output(descriptor: int) -> tuple[int, int]:
    """Open an output; return our end and the program's.

    It is a pseudo-terminal where our own output is a terminal, so that progress bars look as they should.
    """
    if not os.isatty(descriptor):
        return os.pipe()
    ours, theirs = pty.openpty()
    settings: list[Any] = termios.tcgetattr(theirs)
    settings[1] &= ~termios.OPOST  # our own terminal adds the carriage returns already
    termios.tcsetattr(theirs, termios.TCSANOW, settings)
    with contextlib.suppress(OSError, AttributeError):
        termios.tcsetwinsize(theirs, termios.tcgetwinsize(descriptor))
    return ours, theirs
