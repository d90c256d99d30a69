from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fastai_local.commands import local_mode as subject
from fastai_local.docker_runtime import DockerRuntime
from fastai_local.errors import LocalError, UsageError
from fastai_local.process import Result
from fastai_local.settings import Settings

ENGINE = subject.Engine("docker", "28", "28", "amd64", "buildx")
RUNTIME = DockerRuntime(Settings(), ENGINE)


@pytest.fixture
def compose(monkeypatch: pytest.MonkeyPatch):
    """Sets what `docker compose version` says, and whether there is a docker-compose."""

    def set_up(says: str | None, binary: bool = False) -> None:
        answer = Result(0, says) if says else Result(1, "", "unknown command")
        monkeypatch.setattr(subject.Engine, "capture", lambda *_, **__: answer)
        monkeypatch.setattr(subject.shutil, "which", lambda name: "/bin/docker-compose" if binary else None)

    return set_up


@pytest.mark.parametrize(
    ("says", "sdks"),
    [
        ("Docker Compose version v2.26.1", {2, 3}),
        ("Docker Compose version 2.26.1-4", {3}),  # Debian's has no "v"
        ("Docker Compose version v5.0.1", {3}),
        ("docker-compose version 1.29.2", set()),
        (None, set()),
    ],
)
def test_the_compose_that_each_sdk_takes(compose, says: str | None, sdks: set[int]) -> None:
    compose(says)
    for sdk in (2, 3):
        if sdk in sdks:
            subject.require_compose(ENGINE, sdk)
        else:
            with pytest.raises(LocalError, match="Docker Compose 2"):
                subject.require_compose(ENGINE, sdk)
    compose(says, binary=True)
    subject.require_compose(ENGINE, 2)
    subject.require_compose(ENGINE, 3)


def test_too_new_a_compose_says_what_else_to_do(compose) -> None:
    compose("Docker Compose version v5.0.1")
    with pytest.raises(LocalError, match="SDK=3"):
        subject.require_compose(ENGINE, 2)


def test_data_is_the_users_then_the_pets_then_a_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pets" / "images").mkdir(parents=True)
    monkeypatch.setattr(subject, "sample_data", lambda _, folder: (folder / "digits", {"epochs": "9"}))
    pets = {"PETS_DIR": str(tmp_path / "pets")}
    assert subject.data_of(Settings(data=tmp_path), RUNTIME, tmp_path, pets)[0] == tmp_path
    assert subject.data_of(Settings(), RUNTIME, tmp_path, pets)[0] == tmp_path / "pets" / "images"
    assert subject.data_of(Settings(), RUNTIME, tmp_path, {}) == (tmp_path / "data" / "digits", {"epochs": "9"})
    with pytest.raises(UsageError, match="PETS_DIR"):
        subject.data_of(Settings(), RUNTIME, tmp_path, {"PETS_DIR": str(tmp_path / "gone")})


def test_the_examples_command_line(tmp_path: Path) -> None:
    settings = Settings(root=tmp_path, port=9000)
    command = subject.example_command(settings, Path("python"), Path("/data"), {"epochs": "2"})
    assert command == [
        *("python", str(tmp_path / "examples" / "local_mode_sdk2.py"), "--data", "/data"),
        *("--training-image", "fastai-sagemaker-training:cpu", "--serving-image", "fastai-sagemaker-serving:cpu"),
        *("--instance-type", "local", "--port", "9000", "epochs=2"),
    ]
    other = replace(settings, sdk=3, device="gpu", training_image="mine:1", script=Path("/my/pets.py"))
    command = subject.example_command(other, Path("python"), Path("/data"), {})
    assert command[1].endswith("local_mode_sdk3.py")
    assert command[command.index("--training-image") + 1] == "mine:1"
    assert command[command.index("--serving-image") + 1] == "fastai-sagemaker-serving:gpu"
    assert command[command.index("--instance-type") + 1] == "local_gpu"
    assert command[-2:] == ["--script", "/my/pets.py"]


def test_only_our_containers_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = f"aaa {tmp_path}/tmp1\nbbb /elsewhere\nccc \nddd {tmp_path}-other/tmp2\n"
    removed = []

    def capture(_, word: str, *args: str, **__) -> Result:
        if word == "ps":
            return Result(0, listed)
        removed.append((word, *args))
        return Result(0)

    monkeypatch.setattr(subject.Engine, "capture", capture)
    subject.remove_containers(ENGINE, tmp_path)
    assert removed == [("rm", "--force", "aaa")]


def test_plain_processes_and_a_missing_script_are_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="needs Docker"):
        subject.local_mode_command(Settings(runtime="native"))
    with pytest.raises(UsageError, match="SCRIPT="):
        subject.local_mode_command(Settings(script=tmp_path / "gone.py"))
