from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fastai_local.cli import load_commands
from fastai_local.commands import MODULES
from fastai_local.registry import COMMANDS
from fastai_local.variables import VARIABLES
from tests.waiting import PATIENCE

load_commands()
ROOT = Path(__file__).resolve().parents[3]


def run(*arguments: str, cwd: Path = ROOT, **variables: str) -> subprocess.CompletedProcess[str]:
    # without PATH's docker: nothing here may depend on an engine
    env = {"PATH": "/nowhere", "PYTHONPATH": str(ROOT / "docker"), "HOME": os.environ.get("HOME", "/"), **variables}
    command = [sys.executable, "-m", "fastai_local", *arguments]
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("command", "variables", "message"),
    [
        ("train", {"DATA": "/nowhere"}, "DATA=/nowhere"),
        ("train", {}, "DATA is missing"),
        ("train", {"DATA": ".", "HP": "epochs"}, "name=value"),
        ("serve", {}, "MODEL is missing"),
        ("predict", {"PICTURE": "/nowhere.jpg"}, "no such file"),
        ("predict", {"IMAGE": "/nowhere.jpg"}, "no such file"),
        ("build", {"DEVICE": "gpux"}, "cpu or gpu"),
        ("demo", {"RUNTIME": "dokcer"}, "docker or native"),
        ("serve", {"PORT": "abc"}, "1 to 65535"),
        ("nonsense", {}, "name one of"),
        ("trian", {}, "did you mean train?"),
    ],
)
def test_a_mistake_is_one_line_and_code_2(command: str, variables: dict[str, str], message: str) -> None:
    done = run(command, **variables)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_no_engine_is_one_line_and_code_1() -> None:
    done = run("build", RUNTIME="docker")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "RUNTIME=docker, but no `docker` command" in done.stderr


def test_required_engine_that_is_absent_fails_the_tests() -> None:
    done = run("test", REQUIRE_ENGINE="1")
    assert done.returncode == 1
    assert "REQUIRE_ENGINE=1" in done.stderr


def test_stop_with_nothing_running() -> None:
    done = run("stop", RUNTIME="native")
    assert done.returncode == 0


def test_a_reader_that_goes_away_is_no_traceback() -> None:
    env = {**os.environ, "PYTHONPATH": str(ROOT / "docker")}
    process = subprocess.Popen(
        [sys.executable, "-m", "fastai_local", "doctor"], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait() == 128 + signal.SIGPIPE


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_end_a_command_cleanly(tmp_path: Path, number: signal.Signals, code: int) -> None:
    client = tmp_path / "docker"
    client.write_text("#!/bin/sh\ntouch started\nexec sleep 15\n")
    client.chmod(0o755)
    env = {"PATH": f"{tmp_path}:/usr/bin:/bin", "PYTHONPATH": str(ROOT / "docker"), "PYTHONDONTWRITEBYTECODE": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "fastai_local", "build"], cwd=tmp_path, env=env, stderr=subprocess.PIPE, text=True
    )
    for _ in range(100):
        if (tmp_path / "started").exists():
            break
        time.sleep(0.1)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=PATIENCE)
    assert process.returncode == code
    assert "Traceback" not in stderr


def makefile_list(start: str) -> list[str]:
    """The words of a line of the Makefile after its start."""
    makefile = (ROOT / "Makefile").read_text().replace("\\\n", " ")  # lines that go on
    (line,) = [line for line in makefile.splitlines() if line.startswith(start)]
    return line.removeprefix(start).split()


def test_every_command_is_a_target_and_every_variable_exported() -> None:
    assert sorted(makefile_list("COMMANDS :=")) == sorted(COMMANDS)
    assert makefile_list("export ") == list(VARIABLES)


def test_every_module_of_commands_is_loaded() -> None:
    found = {path.stem for path in (ROOT / "docker" / "fastai_local" / "commands").glob("*.py")}
    assert found - {"__init__"} == set(MODULES)


def outside_make() -> dict[str, str]:
    """The environment without what `make test` itself adds: a make below it would take its flags and variables."""
    ours = {"MAKEFLAGS", "MAKELEVEL", "MFLAGS", "MAKEOVERRIDES", "RUNTIME", "DATA", "ARGS"}
    return {name: value for name, value in os.environ.items() if name not in ours}


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_variables_survive_make(tmp_path: Path) -> None:
    folder = tmp_path / 'it\'s a "folder"; echo $HOME'
    command = ["make", "train", f"PYTHON={sys.executable}", "RUNTIME=native", f"DATA={str(folder).replace('$', '$$')}"]
    done = subprocess.run(command, cwd=ROOT, env=outside_make(), capture_output=True, text=True, check=False)
    assert f"DATA={folder}: there is no such folder" in done.stderr


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_help_is_the_default_target() -> None:
    command = ["make", f"PYTHON={sys.executable}"]
    done = subprocess.run(command, cwd=ROOT, env=outside_make(), capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stdout == run("help").stdout


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_a_mistyped_target_names_the_one_that_was_meant() -> None:
    command = ["make", f"PYTHON={sys.executable}", "local_mode"]
    done = subprocess.run(command, cwd=ROOT, env=outside_make(), capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "there is no command 'local_mode'; did you mean local-mode?" in done.stderr


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_a_folder_of_a_targets_name_is_no_hindrance(tmp_path: Path) -> None:
    (tmp_path / "build").mkdir()
    command = ["make", "-f", str(ROOT / "Makefile"), "--dry-run", "build"]
    done = subprocess.run(command, cwd=tmp_path, env=outside_make(), capture_output=True, text=True, check=False)
    assert "-m fastai_local build" in done.stdout
