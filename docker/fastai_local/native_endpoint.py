"""An endpoint as plain processes: started in a session of its own, found again by a file with its process id."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from fastai_local import contract
from fastai_local.errors import LocalError, UsageError
from fastai_local.native import ensure_environment
from fastai_local.ports import HIGHEST_PORT
from fastai_local.process import capture, error_in, say
from fastai_local.settings import Settings

STOP_SECONDS = 30
LOG_LINES = 30

PREFIX = "serve-"
Waiter = Callable[[int, Callable[[], "str | None"]], "str | None"]


def folder_of(build: Path, port: int) -> Path:
    return build / f"{PREFIX}{port}"


def command_line(pid: int) -> str:
    """Return the command of a process; empty when there is none (or only its exit status is left)."""
    if Path("/proc/self/cmdline").exists():
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:
            return ""
    return capture(["ps", "-o", "command=", "-p", str(pid)]).out.strip()


def running_pid(build: Path, port: int) -> int | None:
    """Return the process of our endpoint on that port; none for a stale file, whose id may be another's by now."""
    try:
        pid = int((folder_of(build, port) / "pid").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
    words = command_line(pid).split()
    return pid if contract.ENTRY_POINT_MODULE in words and contract.SERVE in words else None


def lay_out(build: Path, model: Path, port: int) -> Path:
    """Return the folder that stands for /opt/ml."""
    folder = folder_of(build, port)
    if folder.exists():
        shutil.rmtree(folder)  # rmtree removes the link to the model, never what it points to
    folder.mkdir(parents=True)
    (folder / contract.MODEL).symlink_to(model, target_is_directory=True)
    return folder


def start(settings: Settings, model: Path, port: int, wait_until_ready: Waiter) -> None:
    """Start an endpoint in the background and wait for it. Raise ``LocalError``."""
    if port > HIGHEST_PORT:
        raise UsageError(f"PORT={port}: multi-model-server takes ports up to {HIGHEST_PORT}; pass a lower one")
    python = ensure_environment(settings)
    folder = lay_out(settings.build, model, port)
    env = {**os.environ, contract.BASE_DIR_VARIABLE: str(folder), contract.PORT_VARIABLE: str(port)}
    env["PYTHONUNBUFFERED"] = "1"
    log = folder / "log.txt"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(python), "-m", contract.ENTRY_POINT_MODULE, contract.SERVE],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=folder,  # so that nothing of the checkout is importable by accident
            env=env,
            start_new_session=True,
        )
    (folder / "pid").write_text(str(process.pid), encoding="ascii")

    def ended() -> str | None:
        code = process.poll()
        return None if code is None else f"it ended with exit code {code}"

    try:
        reason = wait_until_ready(port, ended)
    except KeyboardInterrupt:
        stop(settings.build, port)
        raise
    if reason:
        text = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES:])
        say(text)
        stop(settings.build, port)
        raise LocalError(f"the endpoint did not start: {error_in(text) or f'{reason}; its last log lines are above'}")
    say(f"logs: tail -f {log}")


def _group_is_alive(group: int) -> bool:
    with contextlib.suppress(ChildProcessError):
        os.waitpid(-group, os.WNOHANG)  # when it is our own child, only its exit status may be left
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def stop(build: Path, port: int, seconds: float = STOP_SECONDS) -> bool:
    """Stop our endpoint on that port; return whether there was one.

    SIGTERM goes to the first process alone, which lets requests in flight finish; what is left of its group after
    ``seconds`` gets SIGKILL.
    """
    folder = folder_of(build, port)
    pid = running_pid(build, port)
    if pid:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + seconds
        while command_line(pid) and time.monotonic() < deadline:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
            time.sleep(0.05)
        if _group_is_alive(pid):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
    with contextlib.suppress(FileNotFoundError):
        (folder / "pid").unlink()
    return pid is not None


def stop_all(build: Path) -> list[str]:
    """Stop the endpoints of this checkout that run as processes; return what was stopped."""
    stopped = []
    for file in sorted(build.glob(f"{PREFIX}*/pid")):
        port = file.parent.name.removeprefix(PREFIX)
        if port.isdigit() and stop(build, int(port)):
            stopped.append(f"the endpoint on port {port}")
    return stopped
