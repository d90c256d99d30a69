from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from fastai_local import base, doctor, images
from fastai_local.engine import Engine
from fastai_local.errors import LocalError
from fastai_local.process import Result
from fastai_local.settings import Settings


class FakeEngine(Engine):
    """An engine that has some images, can pull others, and notes what it is asked."""

    def with_images(self, present: set[str], pullable: set[str] = frozenset()) -> FakeEngine:
        object.__setattr__(self, "present", present)
        object.__setattr__(self, "pullable", pullable)
        object.__setattr__(self, "asked", [])
        return self

    def capture(self, *args: str | Path, timeout: float = 60) -> Result:
        words = [str(arg) for arg in args]
        self.asked.append(words)
        if words[:2] == ["image", "inspect"]:
            return Result(0 if words[-1] in self.present else 1)
        if words[0] == "pull" or words[:2] == ["manifest", "inspect"]:
            return Result(0) if words[-1] in self.pullable else Result(1, "", "no such host")
        return Result(0)


def engine(builder: str | None = "buildx", present=frozenset(), pullable=frozenset()) -> FakeEngine:
    return FakeEngine("docker", "28.0", "28.0", "amd64", builder).with_images(set(present), set(pullable))


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "1.2.3"\n')
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


def test_a_base_that_is_there_is_not_pulled() -> None:
    have = engine(present={"debian:bookworm-slim"})
    base.ensure_base(Settings(), have)
    assert all(words[0] != "pull" for words in have.asked)


def test_a_base_is_pulled_when_a_registry_answers(monkeypatch) -> None:
    monkeypatch.setattr(base, "make_base", lambda _: pytest.fail("made although it could be pulled"))
    base.ensure_base(Settings(), engine(pullable={"debian:bookworm-slim"}))


def test_the_cpu_base_is_made_when_it_cannot_be_pulled(monkeypatch) -> None:
    made = []
    monkeypatch.setattr(base, "make_base", made.append)
    base.ensure_base(Settings(), engine())
    assert len(made) == 1


def test_a_gpu_base_that_cannot_be_pulled_names_the_plain_one(monkeypatch) -> None:
    monkeypatch.setattr(base, "make_base", lambda _: pytest.fail("silently another base"))
    with pytest.raises(LocalError, match="BASE_IMAGE=debian:bookworm-slim"):
        base.ensure_base(Settings(device="gpu"), engine())
    with pytest.raises(LocalError, match="mine:1 can't be pulled"):
        base.ensure_base(Settings(base_image="mine:1"), engine())


def test_making_a_base_without_root_says_so(monkeypatch) -> None:
    monkeypatch.setattr(base.shutil, "which", lambda _: "/usr/sbin/debootstrap")
    monkeypatch.setattr(base.Path, "is_file", lambda _: True)
    monkeypatch.setattr(base.os, "geteuid", lambda: 1000)
    with pytest.raises(LocalError, match="sudo make base"):
        base.make_base(engine())
    monkeypatch.setattr(base.shutil, "which", lambda _: None)
    with pytest.raises(LocalError, match="apt-get install debootstrap"):
        base.make_base(engine())


def test_trimming_keeps_licences(tmp_path: Path) -> None:
    share = tmp_path / "usr" / "share"
    for name in ("doc/apt/copyright", "doc/apt/changelog.gz", "doc/empty/NEWS", "man/man1/ls.1.gz", "locale/de/x.mo"):
        (share / name).parent.mkdir(parents=True, exist_ok=True)
        (share / name).touch()
    (share / "locale" / "locale.alias").touch()
    (tmp_path / "etc").mkdir()
    (tmp_path / "var/lib/apt/lists/partial").mkdir(parents=True)
    base._trim(tmp_path)
    left = {str(path.relative_to(share)) for path in share.rglob("*") if path.is_file()}
    assert left == {"doc/apt/copyright", "locale/locale.alias"}
    assert not (share / "doc" / "empty").exists()
    assert not any((tmp_path / "var/lib/apt/lists").iterdir())


def test_the_doctor_on_the_base_image(monkeypatch) -> None:
    assert doctor.base_check(Settings(), engine(present={"debian:bookworm-slim"})).state == doctor.OK
    assert doctor.base_check(Settings(), engine(pullable={"debian:bookworm-slim"})).state == doctor.OK
    monkeypatch.setattr(doctor, "missing_for_base", lambda: None)
    assert doctor.base_check(Settings(), engine()).state == doctor.OK
    monkeypatch.setattr(doctor, "missing_for_base", lambda: "debootstrap is not installed")
    assert doctor.base_check(Settings(), engine()).state == doctor.MISSING
    assert "BASE_IMAGE=" in doctor.base_check(Settings(device="gpu"), engine()).get
