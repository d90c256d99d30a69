from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from fastai_local import images
from fastai_local.errors import LocalError
from fastai_local.process import Result
from fastai_local.settings import VERSION_FILE, Settings
from tests.unit.local.fake_engine import engine


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / VERSION_FILE).parent.mkdir(parents=True)
    (tmp_path / VERSION_FILE).write_text('__version__ = "1.2.3"\n')
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@example.org"]
    env = {**os.environ, "GIT_COMMITTER_DATE": "2026-11-22T12:00:00+02:00"}
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "x"]):
        subprocess.run([*git, *command], check=True, env=env)
    return tmp_path


def test_the_revision_is_the_commit_and_its_time_in_utc(repository: Path) -> None:
    commit, created = images.revision(repository)
    assert len(commit) == 40
    assert created == "2026-11-22T10:00:00Z"
    (repository / "new").touch()
    assert images.revision(repository) == (f"{commit}-dirty", created)


def test_a_tree_without_git_has_no_revision(tmp_path: Path) -> None:
    assert images.revision(tmp_path) == ("unknown", images.NO_COMMIT_TIME)


def test_the_build_command(repository: Path) -> None:
    command = images.build_command(Settings(root=repository), engine(), "serving", ["--secret", "id=ca,src=/c"])
    text = " ".join(command)
    assert text.startswith("docker buildx build --load --provenance=false ")
    assert "--target serving" in text
    assert "--tag fastai-sagemaker-serving:cpu --tag fastai-sagemaker-serving:1.2.3-cpu" in text
    assert "--build-arg BASE_IMAGE=debian:bookworm-slim --build-arg DEVICE=cpu --build-arg VERSION=1.2.3" in text
    assert "--secret id=ca,src=/c" in text
    assert command[-1] == str(repository)
    old = images.build_command(Settings(root=repository, device="gpu"), engine("built-in"), "training", [])
    assert old[:2] == ["docker", "build"]
    assert "--load" not in old
    assert "fastai-sagemaker-training:1.2.3-gpu" in old


def test_an_image_that_was_not_built_names_the_target() -> None:
    with pytest.raises(LocalError, match=r"serving:gpu is not there: run `make build DEVICE=gpu`"):
        images.require_image(engine(), "serving", "gpu")
    have = engine(present={"fastai-sagemaker-serving:cpu"})
    assert images.require_image(have, "serving", "cpu") == "fastai-sagemaker-serving:cpu"


def test_a_checkout_without_a_dockerfile(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match="Dockerfile is missing"):
        images.build_images(Settings(root=tmp_path), engine())


@pytest.fixture
def wheel_repository(tmp_path: Path) -> Path:
    (tmp_path / "docker" / "wheelhouse").mkdir(parents=True)
    (tmp_path / "docker" / "requirements").mkdir()
    (tmp_path / "docker" / "requirements" / "training-cpu.txt").write_text("torch==2.13.0 \\\n")
    return tmp_path


def test_the_cpu_torch_is_asked_of_pip_for_the_images_python(wheel_repository: Path, monkeypatch) -> None:
    asked = []
    monkeypatch.setattr(images, "capture", lambda command, **_: asked.append(command) or Result(0))
    images.fetch_cpu_torch(Settings(root=wheel_repository), engine())
    (command,) = asked
    assert command[-1] == "torch==2.13.0+cpu"
    assert command[command.index("--platform") + 1] == "manylinux_2_28_x86_64"
    assert command[command.index("--abi") + 1] == "cp311"


def test_the_cpu_torch_is_not_asked_for_where_it_is_of_no_use(wheel_repository: Path, monkeypatch) -> None:
    monkeypatch.setattr(images, "capture", lambda *_, **__: pytest.fail("pip was asked"))
    images.fetch_cpu_torch(Settings(root=wheel_repository, device="gpu"), engine())
    images.fetch_cpu_torch(Settings(root=wheel_repository, base_image="ubuntu:24.04"), engine())
    (wheel_repository / "docker" / "wheelhouse" / "torch-2.13.0+cpu-cp311.whl").touch()
    images.fetch_cpu_torch(Settings(root=wheel_repository), engine())
