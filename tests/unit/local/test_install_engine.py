from __future__ import annotations

import pytest

from fastai_local import install_engine as subject
from fastai_local.engine import Engine
from fastai_local.errors import EngineUnavailableError, LocalError
from fastai_local.process import Result

POLICY = "docker-compose:\n  Installed: (none)\n  Candidate: {}\n  Version table:\n"


@pytest.mark.parametrize(("candidate", "expected"), [("2.26.1-4", "2.26.1-4"), ("(none)", None)])
def test_what_apt_would_install(monkeypatch, candidate: str, expected: str | None) -> None:
    monkeypatch.setattr(subject, "capture", lambda *_, **__: Result(0, POLICY.format(candidate)))
    assert subject._candidate("docker-compose") == expected


def test_compose_1_is_no_plugin() -> None:
    assert not subject._is_plugin("docker-compose", "1.29.2-3")
    assert subject._is_plugin("docker-compose", "2.26.1-4")
    assert not subject._is_plugin("docker-buildx", None)


def plugins_installed(monkeypatch, known: dict[str, str]) -> tuple[list[str], list[str]]:
    """Runs install_plugins where apt knows some packages; returns what came from here and from the newer release."""
    here: list[str] = []
    newer: list[str] = []
    monkeypatch.setattr(subject, "_candidate", lambda package, *_: known.get(package))
    monkeypatch.setattr(subject, "_apt_get", lambda *args, **_: here.append(args[-1]))
    monkeypatch.setattr(subject, "_install_from_newer_release", newer.extend)
    subject.install_plugins(["buildx", "compose"])
    return here, newer


def test_plugins_of_ubuntu(monkeypatch) -> None:
    known = {"docker-buildx": "0.14", "docker-compose-v2": "2.27", "docker-compose": "1.29.2"}
    assert plugins_installed(monkeypatch, known) == (["docker-buildx", "docker-compose-v2"], [])


def test_plugins_of_debian_13(monkeypatch) -> None:
    known = {"docker-buildx": "0.13.1", "docker-compose": "2.26.1"}
    assert plugins_installed(monkeypatch, known) == (["docker-buildx", "docker-compose"], [])


def test_plugins_of_debian_12_come_from_the_next_release(monkeypatch) -> None:
    assert plugins_installed(monkeypatch, {"docker-compose": "1.29.2-3"}) == ([], ["docker-buildx", "docker-compose"])


def test_without_root_nothing_is_tried(monkeypatch) -> None:
    def absent() -> Engine:
        raise EngineUnavailableError("none")

    monkeypatch.setattr(subject, "find_engine", absent)
    monkeypatch.setattr(subject.os, "geteuid", lambda: 1000)
    monkeypatch.setattr(subject, "install_packages", lambda: pytest.fail("installed without root"))
    with pytest.raises(LocalError, match="sudo make engine"):
        subject.ensure_engine()


def test_a_dead_dockerd_ends_the_wait_with_its_log(monkeypatch, tmp_path, capsys) -> None:
    def absent() -> Engine:
        raise EngineUnavailableError("none")

    dockerd = tmp_path / "dockerd"
    dockerd.write_text("#!/bin/sh\necho 'failed to start: no iptables' >&2\nexit 1\n")
    dockerd.chmod(0o755)
    monkeypatch.setattr(subject, "find_engine", absent)
    monkeypatch.setattr(subject, "LOG", tmp_path / "log")
    monkeypatch.setattr(subject, "PID_FILE", tmp_path / "docker.pid")
    monkeypatch.setattr(subject.shutil, "which", lambda _: str(dockerd))
    real = subject.Path
    monkeypatch.setattr(subject, "Path", lambda name: tmp_path / "none" if "systemd" in str(name) else real(name))
    with pytest.raises(LocalError, match="dockerd did not start"):
        subject.start_engine()
    assert "no iptables" in capsys.readouterr().out
