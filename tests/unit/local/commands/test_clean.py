from __future__ import annotations

from pathlib import Path

import pytest

from fastai_local.commands import clean as subject
from fastai_local.docker_runtime import DockerRuntime
from fastai_local.errors import EngineUnavailableError, LocalError
from fastai_local.settings import Settings
from tests.unit.local.fake_engine import engine


@pytest.fixture
def build(tmp_path: Path) -> Path:
    (tmp_path / "build" / "train").mkdir(parents=True)
    return tmp_path / "build"


def test_without_an_engine_the_folder_goes_and_images_are_an_error(build: Path, monkeypatch) -> None:
    def absent(_) -> DockerRuntime:
        raise EngineUnavailableError("no engine answers")

    monkeypatch.setattr(subject, "find_docker_runtime", absent)
    with pytest.raises(LocalError, match="IMAGES=1, but no engine answers"):
        subject.clean_command(Settings(root=build.parent, remove_images=True))
    assert build.exists()
    assert subject.clean_command(Settings(root=build.parent)) == 0
    assert not build.exists()
    assert subject.clean_command(Settings(root=build.parent)) == 0


@pytest.mark.parametrize("images", [False, True])
def test_images_go_only_when_it_is_said(build: Path, monkeypatch, images: bool) -> None:
    removed: list[object] = []
    monkeypatch.setattr(subject, "find_docker_runtime", lambda settings: DockerRuntime(settings, engine()))
    monkeypatch.setattr(subject, "remove_images", removed.append)
    assert subject.clean_command(Settings(root=build.parent, remove_images=images)) == 0
    assert len(removed) == images
    assert not build.exists()
