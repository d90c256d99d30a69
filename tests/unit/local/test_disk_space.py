from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from fastai_local import disk_space as subject
from fastai_local.docker_runtime import DockerRuntime
from fastai_local.engine import Engine
from fastai_local.errors import LocalError
from fastai_local.native_runtime import NativeRuntime
from fastai_local.settings import Settings


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch):
    """Sets how many GB every disk has free."""

    def set_free(gigabytes: float) -> None:
        monkeypatch.setattr(subject.shutil, "disk_usage", lambda _: SimpleNamespace(free=gigabytes * 1e9))

    return set_free


def docker(root: Path) -> DockerRuntime:
    return DockerRuntime(Settings(), Engine("docker", "28", "28", "amd64", "buildx", data_root=str(root)))


def test_a_folder_that_is_not_there_yet_is_measured_above(tmp_path: Path, free) -> None:
    free(7)
    assert subject.free_gb(tmp_path / "a" / "b") == (7.0, tmp_path)


def test_too_little_room_is_a_warning_with_what_to_do(tmp_path: Path, free, capsys) -> None:
    free(11.9)
    docker(tmp_path).require_space(strict=False)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"warning: Docker's disk ({tmp_path}) has 11.9 GB free, the tests need 12: docker system")
    free(3.9)
    docker(tmp_path).require_space(strict=False)
    assert "TMPDIR" in capsys.readouterr().err.splitlines()[1]


def test_where_nobody_reads_warnings_it_is_an_error(tmp_path: Path, free) -> None:
    free(3)
    with pytest.raises(LocalError, match=r"Docker's disk .*; the temporary folder "):
        docker(tmp_path).require_space(strict=True)
    with pytest.raises(LocalError, match=r"^the temporary folder"):
        NativeRuntime(Settings()).require_space(strict=True)
    with pytest.raises(LocalError, match=r"^the temporary folder"):
        docker(tmp_path / "in a virtual machine").require_space(strict=True)


def test_enough_room_says_nothing(tmp_path: Path, free, capsys) -> None:
    free(12)
    docker(tmp_path).require_space(strict=True)
    assert capsys.readouterr().err == ""
