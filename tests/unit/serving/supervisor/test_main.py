from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from fastai_container.errors import ModelFolderError, UserError
from fastai_serving.environment import Settings
from fastai_serving.supervisor import main
from fastai_serving.supervisor.main import Supervisor, check_port

#: Stands for the front end: it does what its argument says, in a session of its own.
FRONT_END = """
import signal, sys, time
if sys.argv[1] == "drain": signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
if sys.argv[1] == "hang": signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
if sys.argv[1] == "fail": sys.exit(7)
time.sleep(60)
"""


WAITPID = os.waitpid


def front_end(how: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen([sys.executable, "-c", FRONT_END, how], stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process


@pytest.fixture
def supervise(tmp_path: Path, monkeypatch):
    """``supervise(how)``: a supervisor of a front end that does so; it reaps no other child of the tests' process."""
    made: list[Supervisor] = []

    def start(how: str, multi_model: bool = False) -> Supervisor:
        supervisor = Supervisor(front_end(how), tmp_path, multi_model)
        made.append(supervisor)
        monkeypatch.setattr(main.os, "waitpid", lambda _, options: WAITPID(supervisor.process.pid, options))
        return supervisor

    yield start
    for supervisor in made:
        supervisor.kill()
        supervisor.process.stdout.close()


def test_a_stop_is_0(supervise):
    supervisor = supervise("drain")
    supervisor.stop(signal.SIGTERM, None)
    assert supervisor.watch() == 0


def test_a_front_end_that_does_not_end_is_killed(supervise, monkeypatch, caplog):
    monkeypatch.setattr(main, "STOP_SECONDS", 0.2)
    supervisor = supervise("hang")
    supervisor.stop(signal.SIGTERM, None)
    assert supervisor.watch() == 0
    assert "not all requests were answered in 0.2 s" in caplog.text


def test_a_front_end_that_ends_by_itself_is_an_error(supervise):
    with pytest.raises(UserError, match="the model server ended with exit status 7"):
        supervise("fail").watch()
    supervisor = supervise("sleep")
    supervisor.process.kill()
    with pytest.raises(UserError, match="the model server was killed by SIGKILL"):
        supervisor.watch()


def test_a_reason_that_was_left_ends_it(supervise, tmp_path: Path):
    (tmp_path / "load-failure-model").write_text("it could not\nbe loaded")
    with pytest.raises(UserError, match=r"^it could not be loaded$"):
        supervise("sleep").watch()
    assert supervise("sleep", multi_model=True)._failure() is None, "one of many models is the plug-in's affair"


def test_a_port_that_is_taken_says_which_variable():
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        with pytest.raises(UserError, match="set SAGEMAKER_BIND_TO_PORT to a free one"):
            check_port(taken.getsockname()[1])


def test_what_is_about_to_be_served(tmp_path: Path):
    settings = Settings.from_environment({})
    many = Settings.from_environment({"SAGEMAKER_MULTI_MODEL": "true"})
    assert main._plan(many, tmp_path, tmp_path).what == "a multi-model endpoint"
    with pytest.raises(ModelFolderError, match=r"no model\.json"):
        main._plan(settings, tmp_path, tmp_path)
    (tmp_path / "code").mkdir()
    script = tmp_path / "code" / "inference.py"
    script.write_text("")
    plan = main._plan(settings, tmp_path, tmp_path)
    assert (plan.foreign, plan.verified) == (True, "")
    assert plan.what == f"the script {script} with the model in {tmp_path}"


def test_only_a_script_sees_credentials_unless_somebody_says_so():
    settings = Settings.from_environment({})
    assert [main._credentials(settings, script) for script in (True, False)] == [True, False]
    told = Settings.from_environment({"FASTAI_SAGEMAKER_WORKER_CREDENTIALS": "true"})
    assert main._credentials(told, False)
