from __future__ import annotations

import os
from pathlib import Path

import pytest

from fastai_container.paths import MLPaths
from fastai_training.diagnosis import volumes
from fastai_training.diagnosis.volumes import VolumeError, check, describe, obstacle


def test_folders_are_made_and_nothing_is_left_in_them(tmp_path: Path):
    paths = MLPaths(tmp_path / "ml")
    assert check(paths, scripted=False) == []
    assert paths.model.is_dir()
    assert paths.output_data.is_dir()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_file_in_a_folders_place(tmp_path: Path):
    paths = MLPaths(tmp_path)
    paths.model.touch()
    with pytest.raises(VolumeError, match=f"^the model can't be written: {paths.model} is a file; it must be a folder"):
        check(paths, scripted=True)
    (tmp_path / "file").touch()
    assert obstacle(tmp_path / "file" / "deep" / "folder").startswith(f"{tmp_path / 'file'} is a file")


def test_results_that_a_script_may_do_without_are_a_warning(tmp_path: Path):
    paths = MLPaths(tmp_path)
    paths.failure.parent.mkdir()
    paths.output_data.touch()
    assert check(paths, scripted=True) == [
        f"results can't be written: {paths.output_data} is a file; it must be a folder: mount a folder there"
    ]
    with pytest.raises(VolumeError, match="results can't be written"):
        check(paths, scripted=False)


@pytest.mark.skipif(os.getuid() == 0, reason="root may write anywhere")
def test_anothers_folder(tmp_path: Path):
    tmp_path.chmod(0o555)
    assert f"this container runs as user {os.getuid()}" in obstacle(tmp_path / "model")


def test_full_volumes_are_named_once_with_the_file_written_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights.pth").write_bytes(b"x" * 3000)
    usage = type("Usage", (), {"free": 1000, "total": 5 << 20})
    monkeypatch.setattr(volumes.shutil, "disk_usage", lambda _path: usage)
    text = f"OSError: [Errno 28] No space left on device: '{tmp_path}/model/weights.pth'"
    said = describe([tmp_path, tmp_path / "output" / "data"], text)
    assert said == f"{tmp_path}/model (5.0 MiB) has no room left (written last: weights.pth, 0.0 MiB)"
    assert volumes.room([tmp_path]) == f"{tmp_path} has 0.0 MiB of 5.0 MiB"


def test_a_volume_with_room_is_not_called_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    usage = type("Usage", (), {"free": 50 << 20, "total": 100 << 20})
    monkeypatch.setattr(volumes.shutil, "disk_usage", lambda _path: usage)
    assert describe([tmp_path], "OSError: [Errno 28] No space left on device") == ""
