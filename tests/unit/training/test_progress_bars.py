from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest

SCRIPT = """
import time
from fastai_training.progress_bars import register
register()
from fastprogress.fastprogress import master_bar, progress_bar
bar = master_bar(range(2))
bar.update(0)
bar.write(["epoch", "train_loss", "error_rate"], table=True)
for epoch in range(2):
    inner = progress_bar(range(50), parent=bar, leave=False)
    for step in range(50):
        inner.update(step + 1) if step else inner.update(0)
    bar.update(epoch + 1)
    bar.write([str(epoch), "0.693147", "0.250000"], table=True)
for item in progress_bar(range(3)):
    pass
print("done")
"""
LINES = ["epoch     train_loss  error_rate", "0         0.693147    0.250000", "1         0.693147    0.250000", "done"]


@pytest.fixture(autouse=True)
def fastprogress() -> None:
    pytest.importorskip("fastprogress")


@pytest.mark.parametrize("before", ["", "import fastprogress.fastprogress\n"], ids=["before", "after"])
def test_a_log_has_the_metrics_lines_and_no_bars(before: str):
    result = subprocess.run([sys.executable, "-c", before + SCRIPT], capture_output=True, timeout=120)
    assert result.returncode == 0, result.stderr.decode()
    assert [line.rstrip() for line in result.stdout.decode().split("\n")[:-1]] == LINES
    assert b"\r" not in result.stdout


def test_a_terminal_has_bars():
    ours, theirs = pty.openpty()
    with subprocess.Popen([sys.executable, "-c", SCRIPT], stdout=theirs, stderr=subprocess.PIPE) as running:
        os.close(theirs)
        output = b""
        try:
            while chunk := os.read(ours, 1 << 16):
                output += chunk
        except OSError:  # the other side is closed
            pass
        assert running.wait(120) == 0
    assert "█".encode() in output
