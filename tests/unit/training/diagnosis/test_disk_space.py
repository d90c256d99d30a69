"""What is said of volumes that are full."""

from __future__ import annotations

import errno
from collections import namedtuple

import pytest

from fastai_training.diagnosis import disk_space
from fastai_training.diagnosis.disk_space import check_room, keep, naming_full
from fastai_training.diagnosis.volumes import VolumeError

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def free(monkeypatch):
    """``free(count)`` makes every volume have so many bytes of room."""
    return lambda count: monkeypatch.setattr(disk_space.shutil, "disk_usage", lambda _path: Usage(1 << 40, 0, count))


def test_room_is_counted_for_each_volume(tmp_path, free):
    free(100 << 20)
    check_room({tmp_path: 60 << 20, tmp_path.parent: 30 << 20})
    with pytest.raises(VolumeError, match=r"the disk is full: .* and .* need about 130 MiB, 100 MiB are free"):
        check_room({tmp_path: 60 << 20, tmp_path.parent: 70 << 20})


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("[enforce fail at inline_container.cc:664] . unexpected pos 3944896 vs 3944792"),
        RuntimeError("basic_ios::clear: iostream error"),
        Exception("Error while serializing: I/O error: No space left on device (os error 28)"),
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
    ],
)
def test_the_librarys_words_become_the_folder_and_its_need(tmp_path, free, error):
    free(0)
    with pytest.raises(VolumeError, match=f"the disk is full: {tmp_path} needs about 50 MiB, 0.0 MiB free"):  # noqa: SIM117
        with naming_full(tmp_path, needed=50 << 20):
            raise error


def test_no_room_for_files_alone_is_told_too(tmp_path, free):
    free(400 << 20)
    with (
        pytest.raises(VolumeError, match="needs about 50 MiB, 400 MiB free but takes no more files"),
        naming_full(tmp_path, needed=50 << 20),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    ("error", "count"), [(RuntimeError("unexpected pos 1 vs 2"), 1 << 30), (RuntimeError("shape mismatch"), 0)]
)
def test_other_errors_stay_what_they_are(tmp_path, free, error, count):
    free(count)
    with pytest.raises(RuntimeError) as raised, naming_full(tmp_path):
        raise error
    assert raised.value is error


def test_a_file_that_cannot_be_kept_is_a_warning(tmp_path, monkeypatch):
    said = []
    assert keep(tmp_path / "new" / "a.csv", "é", said.append)
    assert (tmp_path / "new" / "a.csv").read_bytes() == "é".encode()
    assert said == []

    def full(path, _data):
        path.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(disk_space.Path, "write_bytes", full)
    assert not keep(tmp_path / "b.csv", "text", said.append)
    assert not (tmp_path / "b.csv").exists()
    assert said[0].startswith(
        f"warning: {tmp_path / 'b.csv'} was not written: the disk is full: {tmp_path} needs about"
    )
