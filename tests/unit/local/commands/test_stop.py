from __future__ import annotations

from pathlib import Path

import pytest

from fastai_local.commands import stop as subject
from fastai_local.docker_runtime import DockerRuntime
from fastai_local.errors import EngineUnavailableError
from fastai_local.settings import Settings
from tests.unit.local.fake_engine import engine


def absent(_: Settings) -> DockerRuntime:
    raise EngineUnavailableError("no engine answers")


def test_both_ways_are_looked_at(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(subject.NativeRuntime, "stop_all", lambda _: ["the endpoint on port 9000"])
    monkeypatch.setattr(subject, "find_docker_runtime", lambda settings: DockerRuntime(settings, engine()))
    monkeypatch.setattr(DockerRuntime, "stop_all", lambda _: ["one"])
    assert subject.stop_command(Settings(root=tmp_path)) == 0
    assert capsys.readouterr().out == "stopped: the endpoint on port 9000, one\n"


def test_without_an_engine_it_says_that_containers_were_not_looked_for(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(subject, "find_docker_runtime", absent)
    assert subject.stop_command(Settings(root=tmp_path)) == 0
    assert "containers were not looked for (no engine answers)" in capsys.readouterr().out
    with pytest.raises(EngineUnavailableError):
        subject.stop_command(Settings(root=tmp_path, runtime="docker"))
