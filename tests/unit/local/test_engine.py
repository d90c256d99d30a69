from __future__ import annotations

from pathlib import Path

import pytest

from fastai_local import engine as subject
from fastai_local.errors import EngineUnavailableError, LocalError
from fastai_local.process import NOT_FOUND, TIMED_OUT, Result
from tests.unit.local.fake_engine import fake_client


def path_of(*folders: Path) -> dict[str, str]:
    return {"PATH": ":".join(str(folder) for folder in folders)}


def test_the_first_client_that_can_build_is_taken(tmp_path: Path) -> None:
    fake_client(tmp_path / "a", client="28.2.2", server="20.10.24+dfsg1")
    old = fake_client(tmp_path / "b", client="20.10.24+dfsg1", server="20.10.24+dfsg1")
    found = subject.find_engine(path_of(tmp_path / "a", tmp_path / "b"))
    assert (found.cli, found.builder, found.data_root) == (str(old), "built-in", "/data")


def test_a_new_client_builds_with_buildx(tmp_path: Path) -> None:
    fake_client(tmp_path, client="28.2.2", server="28.2.2", buildx=True, security=["name=seccomp", "name=rootless"])
    found = subject.find_engine(path_of(tmp_path))
    assert (found.builder, found.rootless, found.selinux) == ("buildx", True, False)
    assert subject.require_builder(found) == "buildx"


def test_a_client_without_buildx_is_named_with_the_remedy(tmp_path: Path) -> None:
    fake_client(tmp_path, client="28.2.2", server="28.2.2")
    found = subject.find_engine(path_of(tmp_path))
    with pytest.raises(LocalError, match=r"28\.2\.2.*docker-buildx"):
        subject.require_builder(found)


def test_the_client_that_the_user_names_is_the_only_one(tmp_path: Path) -> None:
    named = fake_client(tmp_path / "a", client="28.2.2", server="20.10.24")
    fake_client(tmp_path / "b", client="20.10.24", server="20.10.24")
    found = subject.find_engine({**path_of(tmp_path / "b"), "DOCKER": str(named)})
    assert found.cli == str(named)


def test_no_client(tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailableError, match=r"no `docker` command.*make engine"):
        subject.find_engine(path_of(tmp_path))


def test_no_server(tmp_path: Path) -> None:
    fake_client(tmp_path, client="28.2.2", server=None)
    with pytest.raises(EngineUnavailableError, match="no Docker engine answers: start it"):
        subject.find_engine(path_of(tmp_path))


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        (Result(1, "", "permission denied while trying to connect to the Docker daemon socket"), "group `docker`"),
        (Result(TIMED_OUT, "", ""), "no answer in 20 seconds"),
        (Result(NOT_FOUND, "", "exec format error"), "exec format error"),
        (Result(1, "", ""), "no answer"),
    ],
)
def test_the_reason_says_what_to_do(result: Result, reason: str) -> None:
    assert reason in subject.why_not(result)


def test_files_belong_to_the_caller() -> None:
    rootful = subject.Engine("docker", "1", "1", "amd64", None)
    assert rootful.user_args(1000, 100) == ["--user", "1000:100", "--env", "HOME=/tmp"]
    assert rootful.user_args(0, 0) == []
    assert subject.Engine("docker", "1", "1", "amd64", None, rootless=True).user_args(1000, 100) == []
