from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from fastai_container.paths import MLPaths
from fastai_training.job import stray_models


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MLPaths:
    monkeypatch.setattr(stray_models.tempfile, "gettempdir", lambda: str(tmp_path / "tmp"))
    result = MLPaths(tmp_path / "ml")
    for folder in (result.model, result.code, result.data / "training", tmp_path / "tmp" / ".fastai"):
        folder.mkdir(parents=True)
    return result


def test_a_model_is_no_reason_to_warn(paths: MLPaths):
    (paths.model / "deep").mkdir()
    assert "left" in stray_models.warning(paths, time.time())
    (paths.model / "deep" / "anything").touch()
    assert stray_models.warning(paths, time.time()) == ""


def test_what_was_written_elsewhere_is_named(paths: MLPaths, tmp_path: Path):
    old = paths.code / "old.pth"
    old.touch()
    os.utime(old, (1, 1))
    since = time.time()
    for path in (
        paths.data / "training" / "export.pkl",
        tmp_path / "tmp" / ".fastai" / "stage-1.pth",
        paths.code / "a.txt",
    ):
        path.touch()
    said = stray_models.warning(paths, since)
    assert said.startswith(f"the script left {paths.model} empty: model.tar.gz holds nothing. It wrote ")
    assert f"It wrote {paths.data}/training/export.pkl, {tmp_path}/tmp/.fastai/stage-1.pth; write there, as" in said
    assert "old.pth" not in said


def test_many_are_counted(paths: MLPaths):
    since = time.time()
    for number in range(7):
        (paths.code / f"{number}.pt").touch()
    assert "2.pt and 4 more; write there" in stray_models.warning(paths, since)
