"""A job from its files to its exit code. It takes over signals, so each runs in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fastai_container.errors import UserError
from fastai_container.paths import MLPaths
from fastai_training.job import main as subject
from fastai_training.job.child_process import Outcome
from fastai_training.job.hosts import Cluster
from fastai_training.job.log_tail import Tail
from tests.waiting import PATIENCE

RUN = """
import sys
from fastai_container.errors import UserError
from fastai_training.job.main import run
try:
    sys.exit(run())
except UserError as error:
    print(f"raised: {error}")
    sys.exit(3)
"""


@pytest.fixture
def paths(tmp_path: Path) -> MLPaths:
    paths = MLPaths(tmp_path / "ml")
    for folder in (paths.config, paths.data / "training", paths.code, paths.failure.parent):
        folder.mkdir(parents=True)
    return paths


def environment(paths: MLPaths, **more: str) -> dict[str, str]:
    ours = {"SAGEMAKER_BASE_DIR": str(paths.base), "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONWARNINGS": "ignore"}
    return (
        {name: value for name, value in os.environ.items() if not name.startswith(("SM_", "SAGEMAKER_"))} | ours | more
    )


@pytest.fixture
def start(paths: MLPaths) -> Callable[..., subprocess.Popen[str]]:
    """``start(script, **environment)``: a job whose script has these lines; it has no script without any."""
    pytest.importorskip("sagemaker_training")

    def begin(script: str, **more: str) -> subprocess.Popen[str]:
        (paths.code / "train.py").write_text(script)
        (paths.config / "hyperparameters.json").write_text(json.dumps({"sagemaker_program": "train.py"}))
        command = [sys.executable, "-c", RUN]
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(command, env=environment(paths, **more), text=True, **streams)

    return begin


def test_a_job_that_ends_well_leaves_its_mark_and_nothing_of_an_earlier_one(start, paths: MLPaths):
    paths.failure.write_text("of the job before")
    job = start("print('trained')")
    output, errors = job.communicate(timeout=PATIENCE)
    assert job.returncode == 0, errors
    assert "trained" in output
    assert sorted(path.name for path in paths.failure.parent.glob("*") if path.is_file()) == ["success"]
    assert sorted(path.name for path in paths.failure.parent.glob(".*")) == [], "the reserve is given back"


def test_a_failing_scripts_exit_code_is_the_jobs_and_its_error_the_reason(start, paths: MLPaths):
    (paths.failure.parent / "success").touch()
    job = start("raise RuntimeError('shapes differ, password is ' + 'hunter22hunter')", MY_PASSWORD="hunter22hunter")
    _, errors = job.communicate(timeout=PATIENCE)
    assert job.returncode == 1
    reason = paths.failure.read_text().splitlines()
    assert reason[0] == "RuntimeError: shapes differ, password is ******"
    assert "train.py: exit code 1" in reason
    assert "error: RuntimeError: shapes differ" in errors
    assert not (paths.failure.parent / "success").exists()


def test_the_reason_that_a_script_wrote_itself_is_kept(start, paths: MLPaths):
    job = start(f"open({str(paths.failure)!r}, 'w').write('no label in row 3\\x1b[31m')\nraise SystemExit(7)")
    job.communicate(timeout=PATIENCE)
    assert job.returncode == 7
    assert paths.failure.read_text().splitlines()[0] == r"no label in row 3\x1b[31m", "on a terminal too it is text"


@pytest.mark.parametrize(("handler", "code"), [("signal.SIG_DFL", 143), ("lambda *_: sys.exit(0)", 0)])
def test_a_job_that_is_told_to_stop_has_not_failed(start, paths: MLPaths, handler: str, code: int):
    script = f"import signal, sys, time\nsignal.signal(signal.SIGTERM, {handler})\n"
    job = start(script + "print('ready', flush=True)\nwhile True: time.sleep(0.1)")
    assert job.stdout is not None
    while (line := job.stdout.readline()) != "ready\n":
        assert line, job.stderr and job.stderr.read()
    job.send_signal(signal.SIGTERM)
    output, errors = job.communicate(timeout=PATIENCE)
    assert job.returncode == code, errors
    assert not paths.failure.exists()
    assert "error" not in output + errors
    assert ("training was stopped by SIGTERM" in output) == (code == 143)


def test_what_is_wrong_with_the_jobs_files_is_its_reason(paths: MLPaths):
    (paths.config / "hyperparameters.json").write_text('{"epochs": ')
    done = subprocess.run(
        [sys.executable, "-c", RUN], env=environment(paths), capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.returncode == 3, done.stderr
    assert "hyperparameters.json" in paths.failure.read_text()
    assert done.stdout == f"raised: {paths.failure.read_text()}\n"


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.delenv("SAGEMAKER_PROGRAM", raising=False)
    monkeypatch.setattr(subject, "visible_gpu_count", lambda: 0)
    return monkeypatch


def program(command: list[str]) -> str:
    return command[-1]


def test_the_trainer_is_run_itself_where_there_is_nothing_to_get_ready(paths: MLPaths, alone):
    assert program(subject._command(paths, {}, Cluster())) == "fastai_training"
    assert program(subject._command(paths, {"sagemaker_program": "train.py"}, Cluster())).endswith(".launcher")
    several = Cluster(hosts=("algo-1", "algo-2"))
    assert program(subject._command(paths, {}, several)).endswith(".launcher")
    alone.setattr(subject, "visible_gpu_count", lambda: 2)
    assert program(subject._command(paths, {}, Cluster())).endswith(".launcher")


def test_code_that_nothing_names_is_not_passed_over(paths: MLPaths, alone):
    (paths.code / "train.py").write_text("print('mine')")
    with pytest.raises(UserError, match=r"train\.py"):
        subject._command(paths, {}, Cluster())


def outcome(status: int, stopped_by: int | None = None) -> Outcome:
    return Outcome(status, stopped_by, killed=False, aborted=False)


def tail(*errors: str) -> Tail:
    made = Tail()
    for line in errors:
        made.feed("stderr", line.encode() + b"\n")
    return made


TORCHRUN = "torch.distributed.elastic.multiprocessing.errors.ChildFailedError:"


@pytest.mark.parametrize(
    ("ended", "errors", "code"),
    [
        (outcome(7), (), 7),
        (outcome(-signal.SIGKILL), (), 137),
        (outcome(1), (TORCHRUN, "  exitcode  : 5 (pid: 12)"), 5),  # torchrun's own is always 1
        (outcome(1), (TORCHRUN, "  exitcode  : -9 (pid: 12)"), 137),
        (outcome(1), (TORCHRUN,), 1),
        (outcome(1, signal.SIGTERM), (TORCHRUN,), 143),
        (outcome(1, signal.SIGTERM), ("ValueError: x",), 1),
    ],
)
def test_the_exit_code_is_the_programs_own(ended: Outcome, errors: tuple[str, ...], code: int):
    assert subject._exit_code(ended, tail(*errors)) == code


def test_a_reason_that_cannot_be_written_is_told(paths: MLPaths, capsys):
    paths.failure.mkdir()
    subject._write_reason(paths, "why")
    assert f"{paths.failure} can't be written: Is a directory" in capsys.readouterr().err
