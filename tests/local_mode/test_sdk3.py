"""Version 3 of the SDK: ModelTrainer in local-container mode, and endpoints of its LocalSession, on the real engine."""

from __future__ import annotations

import json
import re
import shutil
import tarfile
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.local_mode.conftest import BREEDS, SERVING_IMAGE, SMALL, TRAINING_IMAGE, LocalMode, Run, free_port

EXAMPLE = ROOT / "examples" / "local_mode_sdk3.py"


def arguments(data: Path, pictures: list[Path], hyperparameters: dict[str, str], *more: str) -> list[str]:
    images = ["--training-image", TRAINING_IMAGE, "--serving-image", SERVING_IMAGE]
    start = ["--data", str(data), "--port", str(free_port()), *images, *more, "--pictures", *map(str, pictures), "--"]
    return start + [f"{name}={value}" for name, value in hyperparameters.items()]


def vocabulary(run: Run) -> list[str]:
    with tarfile.open(run.model().removeprefix("file://")) as packed:
        return json.load(packed.extractfile("model.json"))["vocab"]


def test_train_deploy_predict_delete(
    local_mode: LocalMode, sdk3_python: Path, few_pets: Path, five_pictures: list[Path]
) -> None:
    """examples/local_mode_sdk3.py as a user runs it: the built-in trainer."""
    run = local_mode.run(sdk3_python, EXAMPLE, *arguments(few_pets, five_pictures, SMALL))
    assert run.code == 0, run.log
    (line,) = re.findall(r"hyperparameters: (.*)", run.log)
    assert {f"{name}={value}" for name, value in SMALL.items()} <= set(line.split())
    assert vocabulary(run) == sorted(BREEDS)
    assert [name for name, *_ in run.answers()] == [picture.name for picture in five_pictures]
    assert {label for _, label, _ in run.answers()} <= set(BREEDS)
    assert local_mode.containers() == []


@pytest.fixture
def source(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "examples" / "pets.py", tmp_path)
    return tmp_path


def test_source_code(
    local_mode: LocalMode, sdk3_python: Path, few_pets: Path, five_pictures: list[Path], source: Path
) -> None:
    """With source code the SDK runs its own /bin/bash driver in the image, not our entry point."""
    hyperparameters = {
        "model-arch": "efficientnet_lite0",
        "epochs": "1",
        "unfrozen-epochs": "0",
        "image-size": "64",
        "batch-size": "8",
        "workers": "0",
    }
    given = arguments(few_pets, five_pictures[:2], hyperparameters, "--script", str(source / "pets.py"))
    run = local_mode.run(sdk3_python, EXAMPLE, *given)
    assert run.code == 0, run.log
    assert "pets.py --model-arch efficientnet_lite0 --epochs 1" in run.log
    assert vocabulary(run) == sorted(BREEDS)
    assert [name for name, *_ in run.answers()] == [picture.name for picture in five_pictures[:2]]


def test_a_jobs_reason_is_seen(
    local_mode: LocalMode, sdk3_python: Path, few_pets: Path, five_pictures: list[Path]
) -> None:
    run = local_mode.run(sdk3_python, EXAMPLE, *arguments(few_pets, five_pictures, SMALL | {"arch": "resnet3000"}))
    assert run.code != 0
    assert re.search(r"error: .*resnet3000", run.log)
    assert "exited with code: 1" in run.log
