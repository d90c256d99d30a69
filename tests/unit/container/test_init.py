from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from tests.waiting import PATIENCE

RUN = "import sys; from fastai_container.init import run; sys.exit(run(sys.argv[1:]))"


@pytest.mark.parametrize(
    ("script", "code"), [("exit 0", 0), ("exit 7", 7), ("kill -KILL $$", 128 + signal.SIGKILL), ("kill $$", 143)]
)
def test_the_exit_code_is_the_commands(script, code):
    done = subprocess.run([sys.executable, "-c", RUN, "/bin/sh", "-c", script], timeout=PATIENCE, check=False)
    assert done.returncode == code


def test_signals_reach_the_command():
    script = "trap 'exit 5' USR1; sleep 1; echo up; while :; do sleep 0.1; done"
    process = subprocess.Popen([sys.executable, "-c", RUN, "/bin/sh", "-c", script], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"
    process.send_signal(signal.SIGUSR1)
    assert process.wait(PATIENCE) == 5
    process.stdout.close()


def test_a_command_that_is_not_there_is_an_oserror():
    from fastai_container.init import run

    with pytest.raises(OSError, match="no-such-command"):
        run(["/no-such-command"])
