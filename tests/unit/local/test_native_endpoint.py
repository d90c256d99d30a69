from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fastai_local import native_endpoint as subject
from fastai_local.errors import LocalError, UsageError
from fastai_local.settings import Settings
from tests.waiting import until

PORT = 8099
# Stands for `python -m fastai_sagemaker serve`: a leader with a child, as the server has workers.
PACKAGE = """
import os, signal, subprocess, sys, time
mode = os.environ.get("FAKE", "")
if mode == "dies":
    sys.exit("starting\\nerror: the model is half-written")
if mode == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
with open("child", "w") as file:
    file.write(str(child.pid))
print("listening", flush=True)
while True:
    time.sleep(0.1)
"""


@pytest.fixture
def settings(tmp_path: Path, monkeypatch) -> Settings:
    package = tmp_path / "packages" / "fastai_sagemaker"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(PACKAGE)
    monkeypatch.setenv("PYTHONPATH", str(package.parent))
    monkeypatch.setattr(subject, "ensure_environment", lambda _: Path(sys.executable))
    (tmp_path / "model").mkdir()
    return Settings(root=tmp_path)


def start(settings: Settings) -> tuple[int, int]:
    """Starts the endpoint; returns the ids of its first process and of its child."""
    file = subject.folder_of(settings.build, PORT) / "child"

    def wait_for_child(port: int, ended) -> str | None:
        return until(lambda: (ended(),) if ended() or (file.exists() and file.read_text()) else ())[0]

    subject.start(settings, settings.root / "model", PORT, wait_for_child)
    pid = subject.running_pid(settings.build, PORT)
    assert pid
    return pid, int(file.read_text())


def is_running(pid: int) -> bool:
    return bool(subject.command_line(pid))


def test_an_endpoint_is_started_found_and_stopped_with_its_children(settings: Settings) -> None:
    pid, child = start(settings)
    assert os.getsid(pid) == pid
    folder = subject.folder_of(settings.build, PORT)
    assert (folder / "model").resolve() == settings.root / "model"
    assert "listening" in (folder / "log.txt").read_text()
    assert subject.stop_all(settings.build) == [f"the endpoint on port {PORT}"]
    until(lambda: not is_running(pid) and not is_running(child))
    assert subject.stop_all(settings.build) == []


def test_one_that_ignores_sigterm_is_killed(settings: Settings, monkeypatch) -> None:
    monkeypatch.setenv("FAKE", "stubborn")
    pid, child = start(settings)
    assert subject.stop(settings.build, PORT, seconds=0.3)
    until(lambda: not is_running(pid) and not is_running(child))


def test_one_that_dies_at_start_says_why(settings: Settings, monkeypatch, capsys) -> None:
    monkeypatch.setenv("FAKE", "dies")
    with pytest.raises(LocalError, match="did not start: the model is half-written"):
        start(settings)
    assert "starting" in capsys.readouterr().out
    assert subject.running_pid(settings.build, PORT) is None


def test_a_stale_pid_is_never_signalled(tmp_path: Path) -> None:
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        folder = subject.folder_of(tmp_path, PORT)
        folder.mkdir()
        (folder / "pid").write_text(str(other.pid))
        assert subject.running_pid(tmp_path, PORT) is None
        assert not subject.stop(tmp_path, PORT)
        assert other.poll() is None
        assert not (folder / "pid").exists()
    finally:
        other.kill()
        other.wait()


def test_a_port_that_the_server_would_refuse_is_named_before(settings: Settings) -> None:
    with pytest.raises(UsageError, match=r"PORT=40000.*32766"):
        subject.start(settings, settings.root / "model", 40000, lambda *_: None)


@pytest.mark.parametrize("text", ["", "abc", "999999999"])
def test_an_unreadable_pid_file_counts_as_none(tmp_path: Path, text: str) -> None:
    folder = subject.folder_of(tmp_path, PORT)
    folder.mkdir()
    (folder / "pid").write_text(text)
    assert subject.running_pid(tmp_path, PORT) is None


def test_laying_out_anew_leaves_the_former_model(tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "model.json").touch()
    subject.lay_out(tmp_path, model, PORT)
    subject.lay_out(tmp_path, tmp_path, PORT)
    assert (model / "model.json").exists()
