"""Each test runs in a process of its own, which is ended."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.waiting import PATIENCE

RUN = """
import os, signal, sys
from pathlib import Path
from fastai_container.model_folder import PARTIAL_PREFIX, remove_partial
from fastai_training.fitting.stop_signal import Stop
folder = Path(sys.argv[1])
(folder / (PARTIAL_PREFIX + "x")).mkdir()
(folder / "kept").touch()
stop = Stop(lambda: remove_partial(folder))
stop.install()
number = int(sys.argv[2])
"""
#: Compiled code makes an error of its own of an exception that comes out of Python, or aborts.
SWALLOWED = """
try:
    os.kill(os.getpid(), number)
    for _ in range(10**6): pass
except BaseException:
    raise ImportError("initialization failed")
"""
DEFERRED = """
with stop.deferred():
    os.kill(os.getpid(), number)
    print("batch done", flush=True)
print("never", flush=True)
"""


def run(folder: Path, number: int, program: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", RUN + program, str(folder), str(int(number))]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_no_exception_is_raised_where_compiled_code_may_be_at_work(tmp_path: Path, number: signal.Signals):
    done = run(tmp_path, number, SWALLOWED)
    assert (done.returncode, done.stdout, done.stderr) == (128 + number, f"stopped by {number.name}\n", "")
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_while_deferred_what_is_at_work_is_finished(tmp_path: Path):
    done = run(tmp_path, signal.SIGTERM, DEFERRED)
    assert (done.returncode, done.stdout) == (143, "batch done\n")
