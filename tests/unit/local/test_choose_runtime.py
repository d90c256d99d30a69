from __future__ import annotations

from pathlib import Path

import pytest

from fastai_local import choose_runtime as subject
from fastai_local.errors import EngineUnavailableError
from fastai_local.settings import Settings
from tests.unit.local.fake_engine import fake_client


def test_unset_runtime_is_native_without_an_engine(monkeypatch, capsys, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert subject.choose_runtime(Settings()).name == "native"
    assert "runtime: native (no `docker` command" in capsys.readouterr().out
    with pytest.raises(EngineUnavailableError, match="RUNTIME=docker, but no `docker`"):
        subject.choose_runtime(Settings(runtime="docker"))


def test_unset_runtime_is_docker_with_one(monkeypatch, capsys, tmp_path: Path) -> None:
    fake_client(tmp_path, client="20.10.24", server="20.10.24")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.delenv("DOCKER", raising=False)
    assert subject.choose_runtime(Settings()).name == "docker"
    assert "runtime: docker (engine 20.10.24 answers)" in capsys.readouterr().out
    assert subject.choose_runtime(Settings(runtime="native")).name == "native"
    names = [runtime.name for runtime in subject.available_runtimes(Settings())]
    assert names == ["native", "docker"]


def test_an_engine_that_is_required_and_absent_is_an_error(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("DOCKER", raising=False)
    for settings in (Settings(), Settings(runtime="native")):
        with pytest.raises(EngineUnavailableError, match="REQUIRE_ENGINE=1"):
            subject.choose_runtime(settings, require_engine=True)
    assert [runtime.name for runtime in subject.available_runtimes(Settings())] == ["native"]
