from __future__ import annotations

import os
import subprocess
import sys

import pytest

from fastai_container.errors import UserError
from fastai_container.paths import MLPaths
from fastai_container.sagemaker import FAILURE_REASON_LENGTH
from fastai_sagemaker import entrypoint


def call(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "fastai_sagemaker", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | environment,
    )


def test_no_argument_prints_usage():
    result = call()
    assert result.returncode == 0
    assert "train" in result.stdout


def test_a_command_s_output_and_exit_code_are_its_own():
    result = call("sh", "-c", "echo out; exit 9")
    assert (result.returncode, result.stdout) == (9, "out\n")


def test_arguments_reach_the_command_unharmed():
    nasty = """a 'b' "c" $(d) `e`\n*"""
    assert call("printf", "%s", nasty).stdout == nasty


def test_unknown_command():
    result = call("trian")
    assert result.returncode == 127
    assert "train and serve" in result.stderr


def test_user_errors_have_no_traceback(monkeypatch, capsys):
    def fail() -> int:
        raise UserError("do this instead")

    monkeypatch.setattr(entrypoint, "_run_serve", fail)
    assert entrypoint.main(["serve"]) == 1
    assert capsys.readouterr().err == "error: do this instead\n"


def test_serve_without_a_model_folder(tmp_path):
    pytest.importorskip("mms")
    result = call("serve", SAGEMAKER_BASE_DIR=str(tmp_path))
    assert result.returncode == 1
    assert result.stderr.strip().splitlines()[-1].startswith(f"error: there is no model folder at {tmp_path}/model")


def test_failure_file_is_cut_to_what_sagemaker_shows(tmp_path):
    paths = MLPaths(tmp_path)
    paths.write_failure("x" * 5000)
    assert len(paths.failure.read_text()) == FAILURE_REASON_LENGTH


def test_base_dir_stands_for_opt_ml(tmp_path, monkeypatch):
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(tmp_path))
    assert MLPaths.from_environment().model == tmp_path / "model"
    monkeypatch.delenv("SAGEMAKER_BASE_DIR")
    assert str(MLPaths.from_environment().model) == "/opt/ml/model"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["train", "--epochs", "3"],
            "takes no arguments, it got '--epochs' '3': hyperparameters go into /opt/ml/input",
        ),
        (["serve", "--workers=2"], "takes no arguments, it got '--workers=2': settings are environment variables"),
    ],
)
def test_arguments_that_nothing_would_read_are_refused(tmp_path, arguments, words):
    result = call(*arguments, SAGEMAKER_BASE_DIR=str(tmp_path))
    assert result.returncode == 1
    assert f"error: {arguments[0]} {words}" in result.stderr
    failure = MLPaths(tmp_path).failure
    assert failure.exists() == (arguments[0] == "train")
    if failure.exists():
        assert failure.read_text() in result.stderr


def test_what_came_from_outside_forges_no_line(monkeypatch, capsys):
    def fail() -> int:
        raise UserError("no file 'a\nepoch=1 error_rate=0.0\x1b[2J\u2028\u202e\udc80 猫\t'")

    monkeypatch.setattr(entrypoint, "_run_serve", fail)
    assert entrypoint.main(["serve"]) == 1
    said = capsys.readouterr().err
    assert said == "error: no file 'a\\nepoch=1 error_rate=0.0\\x1b[2J\\u2028\\u202e\\udc80 猫\t'\n"


@pytest.mark.parametrize(("command", "code"), [("serve", 0), ("train", 143), ("sleep", 143)])
def test_a_signal_that_came_before_python_is_obeyed(command, code):
    # As the images' entry point does it: blocked until there is a handler, and waiting meanwhile.
    script = "import os, signal; signal.pthread_sigmask(signal.SIG_BLOCK, [15]); os.kill(os.getpid(), 15); "
    start = f"os.execv({sys.executable!r}, [{sys.executable!r}, '-m', 'fastai_sagemaker', {command!r}, '600'])"
    done = subprocess.run([sys.executable, "-c", script + start], timeout=120, check=False)
    assert done.returncode == code


def test_what_the_entry_point_blocked_is_not_blocked_in_a_command():
    show = "import signal; print(sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])))"
    block = "import os, signal; signal.pthread_sigmask(signal.SIG_BLOCK, [2, 15]); "
    command = [sys.executable, "-m", "fastai_sagemaker", sys.executable, "-c", show]
    start = f"os.execv({sys.executable!r}, {command!r})"
    done = subprocess.run(
        [sys.executable, "-c", block + start], timeout=120, check=True, capture_output=True, text=True
    )
    assert done.stdout == "[]\n"
