"""A model folder that the script of docs/python.md writes, for the tests of the package and of the wheel."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.documented import SCRIPT, run, write_pictures


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="session")
def model(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model folder that the documentation's script writes."""
    pytest.importorskip("fastai", reason="training isn't installed: pip install '.[training,serving]'")
    folder = tmp_path_factory.mktemp("documented") / "model"
    done = run(SCRIPT, SM_CHANNEL_TRAINING=str(pictures), SM_MODEL_DIR=str(folder))
    assert done.returncode == 0, done.stderr[-2000:]
    return folder
