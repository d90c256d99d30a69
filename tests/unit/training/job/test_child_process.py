"""The supervisor takes over signals, so each test runs it in a process of its own."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from tests.waiting import PATIENCE

RUN = """
import os, sys, threading
from fastai_training.job.child_process import Supervisor
supervisor = Supervisor(stop_seconds=float(sys.argv[1]))
if sys.argv[2] == "abort":
    threading.Timer(0.7, supervisor.abort).start()
outcome = supervisor.run([sys.executable, "-c", sys.argv[3]], os.environ)
print()
print(outcome, outcome.exit_code, supervisor.tail.lines("stdout")[-1:])
"""


def start(program: str, *, stop_seconds: float = 30, mode: str = "") -> subprocess.Popen[str]:
    arguments = [sys.executable, "-c", RUN, str(stop_seconds), mode, program]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def last_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    assert process.stderr is not None
    # Not communicate: what readline has read ahead lies in the stream's buffer, where that doesn't look.
    with process:
        output, errors = process.stdout.read(), process.stderr.read()
    assert output, errors
    return output.splitlines()[-1]


def wait_for_line(process: subprocess.Popen[str], text: str) -> None:
    assert process.stdout is not None
    assert process.stdout.readline().strip() == text


@pytest.mark.parametrize(("program", "code"), [("pass", 0), ("raise SystemExit(7)", 7), ("import os; os.abort()", 134)])
def test_exit_codes(program: str, code: int):
    assert f"aborted=False) {code} []" in last_line(start(program))


def test_output_passes_through_and_is_kept():
    process = start("import sys; print('out'); print('err', file=sys.stderr)")
    output, errors = process.communicate(timeout=PATIENCE)
    assert output.startswith("out\n")
    assert errors == "err\n"
    assert "['out']" in output


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_reaches_the_program(number: signal.Signals):
    program = """
import signal, sys, time
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda number, frame: sys.exit(40 + number))
print("ready", flush=True)
time.sleep(600)
"""
    process = start(program)
    wait_for_line(process, "ready")
    process.send_signal(number)
    assert f"Outcome(status={40 + number}, stopped_by={int(number)!r}" in last_line(process).replace(
        repr(number), str(int(number))
    )


def test_one_that_does_not_stop_is_killed():
    program = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
time.sleep(600)
"""
    process = start(program, stop_seconds=1)
    wait_for_line(process, "ready")
    process.terminate()
    line = last_line(process)
    assert "status=-9" in line
    assert "killed=True" in line


def test_abort_ends_the_program():
    line = last_line(start("import time; time.sleep(600)", mode="abort"))
    assert "status=-15" in line
    assert "aborted=True" in line


def test_what_a_program_leaves_running_does_not_hold_the_job():
    program = "import subprocess; subprocess.Popen(['sleep', '600']); print('started', flush=True)"
    assert "status=0" in last_line(start(program))  # long before the ten minutes


def test_other_signals_are_passed_on_without_a_stop():
    program = """
import signal, sys, time
signal.signal(signal.SIGUSR1, lambda number, frame: (print("saved", flush=True), sys.exit(0)))
print("ready", flush=True)
time.sleep(600)
"""
    process = start(program)
    wait_for_line(process, "ready")
    process.send_signal(signal.SIGUSR1)
    wait_for_line(process, "saved")
    assert "status=0, stopped_by=None" in last_line(process)
