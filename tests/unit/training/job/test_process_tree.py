from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from fastai_training.job import process_tree
from tests.waiting import PATIENCE

SLEEP = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"]


@pytest.fixture
def shell():
    """A shell that waits for a Python process."""
    script = f"{sys.executable} -c \"import time; print('up', flush=True); time.sleep(600)\"; true"
    process = subprocess.Popen(["/bin/sh", "-c", script], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    yield process
    for pid in [*process_tree.descendants(process.pid), process.pid]:
        process_tree.send(pid, signal.SIGKILL)
    process.wait(PATIENCE)
    process.stdout.close()


def test_a_shell_and_what_it_waits_for_are_stopped(shell):
    (child,) = process_tree.children(shell.pid)
    assert process_tree.descendants(shell.pid) == [child]
    assert process_tree.stop_targets(shell.pid) == [shell.pid, child]
    assert process_tree.forward(shell.pid, signal.SIGUSR1) == [shell.pid]


def test_a_program_of_its_own_is_stopped_alone():
    process = subprocess.Popen(SLEEP, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        assert process_tree.is_alive(process.pid)
        assert process_tree.forward(process.pid, signal.SIGTERM) == [process.pid]
        assert process.wait(PATIENCE) == -signal.SIGTERM
    finally:
        process.kill()
        process.stdout.close()
    assert not process_tree.is_alive(process.pid)
    process_tree.send(process.pid, signal.SIGTERM)  # which is no error
