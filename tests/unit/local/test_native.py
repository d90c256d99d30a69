from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from fastai_local import native as subject
from fastai_local.errors import LocalError
from fastai_local.process import Result
from fastai_local.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "1"\n')
    (tmp_path / "docker" / "requirements").mkdir(parents=True)
    lock = "torch==2.13.0 \\\n    --hash=sha256:0\ntorchvision==0.28.0 \\\n"
    (tmp_path / "docker" / "requirements" / "training-cpu.txt").write_text(lock)
    return Settings(root=tmp_path)


@pytest.fixture
def installs(monkeypatch, settings: Settings) -> list[list[str]]:
    """The installations asked for; each of them succeeds."""
    asked: list[list[str]] = []

    def stream(command, **_) -> int:
        asked.append([str(part) for part in command])
        return 0

    def capture(command, **_) -> Result:
        words = [str(part) for part in command]
        if "install" in words:
            asked.append(words)
            return Result(0)
        if words[1:3] == ["-m", "venv"]:
            python = subject.venv_python(settings)
            python.parent.mkdir(parents=True)
            python.touch()
            return Result(0)
        return Result(0 if Path(words[0]).exists() and "importlib" not in words[-1] else 127)

    monkeypatch.setattr(subject, "stream", stream)
    monkeypatch.setattr(subject, "capture", capture)
    monkeypatch.setattr(subject, "has_java", lambda *_: True)
    monkeypatch.setattr(subject, "has_nvidia_driver", lambda: False)
    monkeypatch.setattr(subject.platform, "system", lambda: "Linux")
    return asked


def test_the_environment_is_made_once(settings: Settings, installs) -> None:
    python = subject.ensure_environment(settings, ("training", "serving", "dev"))
    assert python == settings.build / "venv" / "bin" / "python"
    assert installs[0][-1] == "torch==2.13.0+cpu"
    assert installs[-1][-2:] == [f"{settings.root}[training,serving,dev]", "torchvision==0.28.0"]
    installs.clear()
    subject.ensure_environment(settings, ("training", "serving"))
    assert installs == []


def test_other_requirements_or_extras_install_anew(settings: Settings, installs) -> None:
    subject.ensure_environment(settings, ("training", "serving"))
    installs.clear()
    subject.ensure_environment(settings, ("training", "serving", "dev"))
    assert installs
    installs.clear()
    (settings.root / "pyproject.toml").write_text('[project]\nversion = "2"\n')
    subject.ensure_environment(settings, ("training", "serving", "dev"))
    assert installs


def test_a_failed_installation_leaves_no_stamp(settings: Settings, installs, monkeypatch) -> None:
    monkeypatch.setattr(subject, "stream", lambda *_, **__: 1)
    with pytest.raises(LocalError, match="make doctor"):
        subject.ensure_environment(settings)
    assert not subject.is_current(settings, ("training",))


def test_java_is_added_where_there_is_none(settings: Settings, installs, monkeypatch) -> None:
    monkeypatch.setattr(subject, "has_java", lambda *_: False)
    subject.ensure_environment(settings)
    stamp = json.loads((settings.build / "venv" / "fastai-sagemaker.json").read_text())
    assert stamp["extras"] == ["training", "serving", "java"]


def test_with_a_driver_torch_is_left_to_pip(settings: Settings, installs, monkeypatch) -> None:
    monkeypatch.setattr(subject, "has_nvidia_driver", lambda: True)
    subject.install_torch(settings)
    assert installs == []


def test_without_a_cpu_wheel_in_reach_pytorchs_index_is_asked(settings: Settings, installs, monkeypatch) -> None:
    monkeypatch.setattr(subject, "capture", lambda *_, **__: Result(1))
    subject.install_torch(settings)
    assert "--torch-backend=cpu" in installs[-1]
    assert installs[-1][-2:] == ["torch==2.13.0", "torchvision==0.28.0"]


def test_when_that_fails_too_the_user_hears_of_the_large_download(settings: Settings, monkeypatch, capsys) -> None:
    monkeypatch.setattr(subject, "capture", lambda *_, **__: Result(1))
    monkeypatch.setattr(subject, "stream", lambda *_, **__: 1)
    monkeypatch.setattr(subject, "has_nvidia_driver", lambda: False)
    monkeypatch.setattr(subject.platform, "system", lambda: "Linux")
    subject.install_torch(settings)
    assert "several GB" in capsys.readouterr().err


def test_a_python_without_venv_says_how_to_get_it(settings: Settings, monkeypatch) -> None:
    monkeypatch.setattr(subject, "capture", lambda *_, **__: Result(1, "", "ensurepip is not available"))
    with pytest.raises(LocalError, match=r"ensurepip.*python3-venv"):
        subject.ensure_environment(settings)


def test_java_is_found_on_path_or_at_java_home(tmp_path: Path) -> None:
    assert not subject.has_java({"PATH": str(tmp_path)})
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    java.touch(0o755)
    assert subject.has_java({"PATH": str(tmp_path), "JAVA_HOME": str(tmp_path)})
    assert subject.has_java({"PATH": str(java.parent)})


def test_the_fingerprint_is_this_pythons(settings: Settings, monkeypatch) -> None:
    before = subject.fingerprint(settings)
    assert before == subject.fingerprint(settings)
    monkeypatch.setattr(sys, "version", "3.99")
    assert before != subject.fingerprint(settings)


def test_a_side_environment_is_made_once_and_again_for_other_requirements(settings: Settings, installs, monkeypatch):
    made = settings.build / "sdk2" / "bin" / "python"
    monkeypatch.setattr(subject, "venv_python", lambda _: made)  # what the fixture's venv module creates
    requirements = settings.root / "requirements.txt"
    requirements.write_text("sagemaker<3\n")
    assert subject.ensure_side_environment(settings, "sdk2", requirements) == made
    assert installs[-1][-2:] == ["--requirement", str(requirements)]
    installs.clear()
    subject.ensure_side_environment(settings, "sdk2", requirements)
    assert installs == []
    requirements.write_text("sagemaker<4\n")
    subject.ensure_side_environment(settings, "sdk2", requirements)
    assert len(installs) == 1
    monkeypatch.setattr(subject, "stream", lambda *_, **__: 1)
    requirements.write_text("sagemaker<5\n")
    with pytest.raises(LocalError, match=r"requirements\.txt could not be installed"):
        subject.ensure_side_environment(settings, "sdk2", requirements)
