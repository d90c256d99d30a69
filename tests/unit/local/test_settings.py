from __future__ import annotations

import re
from pathlib import Path

import pytest

from fastai_local.errors import UsageError
from fastai_local.settings import Settings, locked_version, parse_hyperparameters, project_version
from tests.conftest import ROOT


def read(**env: str) -> Settings:
    return Settings.from_environment(env, Path("/somewhere"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("epochs=2 arch=resnet34", {"epochs": "2", "arch": "resnet34"}),
        ("note='two words' path=\"/a b\"", {"note": "two words", "path": "/a b"}),
        ("expression=a=b", {"expression": "a=b"}),
        ("empty=", {"empty": ""}),
        ("model-arch=resnet18", {"model-arch": "resnet18"}),
        ("  lr=1e-3\n epochs=1 ", {"lr": "1e-3", "epochs": "1"}),
    ],
)
def test_hyperparameters_are_split_as_a_shell_does(text: str, expected: dict[str, str]) -> None:
    assert parse_hyperparameters(text) == expected


@pytest.mark.parametrize("text", ["epochs", "epochs 2", "=2", "epochs=2 arch", "'epochs=2", "epochs=1 epochs=2"])
def test_a_malformed_hyperparameter_is_an_error_that_shows_the_form(text: str) -> None:
    with pytest.raises(UsageError, match="HP"):
        parse_hyperparameters(text)


def test_the_message_names_the_item_that_is_wrong() -> None:
    with pytest.raises(UsageError, match=r"'resnet34'.*name=value"):
        parse_hyperparameters("epochs=2 resnet34")


def test_nothing_given_is_the_defaults() -> None:
    settings = read(DATA="", PORT=" ")
    assert (settings.device, settings.runtime, settings.data) == ("cpu", None, None)
    assert (settings.port, settings.listen_port) == (None, 8080)
    assert settings.base == "debian:bookworm-slim"


def test_the_gpu_base_is_nvidias_unless_named() -> None:
    assert read(DEVICE="gpu").base.startswith("nvidia/cuda:")
    assert read(DEVICE="gpu", BASE_IMAGE="mine:1").base == "mine:1"


def test_relative_paths_are_those_of_the_callers_folder() -> None:
    settings = read(DATA="my pictures/it's", OUT="/abs", PICTURE="~/a.jpg")
    assert settings.data == Path("/somewhere/my pictures/it's")
    assert settings.out == Path("/abs")
    assert settings.picture == (Path.home() / "a.jpg").resolve()


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("DEVICE", "gpux", "cpu or gpu"),
        ("RUNTIME", "dokcer", "docker or native"),
        ("PORT", "abc", "1 to 65535"),
        ("PORT", "0", "1 to 65535"),
        ("PORT", "65536", "1 to 65535"),
        ("PORT", "-1", "1 to 65535"),
        ("PORT", "٣", "1 to 65535"),
        ("IMAGES", "maybe", "0 or 1"),
    ],
)
def test_a_mistyped_value_is_an_error_with_the_allowed_ones(name: str, value: str, allowed: str) -> None:
    with pytest.raises(UsageError, match=f"{name}={value}.*{allowed}"):
        read(**{name: value})


def test_arguments_for_pytest_are_split() -> None:
    assert read(ARGS="-k 'a or b' -x").args == ("-k", "a or b", "-x")
    with pytest.raises(UsageError, match="ARGS"):
        read(ARGS="-k 'a")


def test_the_version_stands_in_one_place(tmp_path: Path) -> None:
    package = tmp_path / "container" / "fastai_container"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text('"""What."""\n\n__version__ = "1.2.3"\n')
    assert project_version(tmp_path) == "1.2.3"
    (package / "__init__.py").write_text("version = 1\n")
    with pytest.raises(UsageError, match="is missing: is this a whole checkout"):
        project_version(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="no __version__"):
        project_version(tmp_path)
    assert f"fastai-sagemaker-training:{project_version()}-gpu" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert not re.search(r'^version\s*=\s*"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize("line", ["torch==2.13.0 \\", "torch==2.13.0+cpu", "torch==2.13.0 ; python_version > '3'"])
def test_the_locked_release_of_torch(tmp_path: Path, line: str) -> None:
    lock = tmp_path / "docker" / "requirements" / "training-cpu.txt"
    lock.parent.mkdir(parents=True)
    lock.write_text(f"pytorch-lightning==1.0\n{line}\n    --hash=sha256:00\ntorchvision==0.28.0 \\\n")
    assert locked_version("torch", tmp_path) == "2.13.0"
    assert locked_version("torchvision", tmp_path) == "0.28.0"
    assert locked_version("timm", tmp_path) is None
    assert locked_version("torch", tmp_path / "nowhere") is None


def test_image_is_another_name_of_picture() -> None:
    assert read(IMAGE="/a.jpg").picture == Path("/a.jpg")
    assert read(IMAGE="b/../a.jpg", PICTURE="a.jpg").picture == Path("/somewhere/a.jpg")
    with pytest.raises(UsageError, match=r"PICTURE=/a\.jpg and IMAGE=/b\.jpg are two pictures: give one, PICTURE="):
        read(PICTURE="/a.jpg", IMAGE="/b.jpg")
