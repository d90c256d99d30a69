from __future__ import annotations

import importlib.metadata
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastai_local.errors import LocalError
from fastai_push import cli, push
from fastai_push.options import Options


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """A command takes the signals that end it; here they are given back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(("version", "enough"), [("1.39.17", False), ("1.40.0", True), ("2.0", True), (None, False)])
def test_an_older_boto3_does_not_do(monkeypatch, version: str | None, enough: bool) -> None:
    def found(name: str) -> str:
        if version is None:
            raise importlib.metadata.PackageNotFoundError(name)
        return version

    monkeypatch.setattr(cli.importlib.metadata, "version", found)
    assert cli.has_boto3() is enough


def test_a_python_without_boto3_starts_one_with_it(tmp_path: Path, monkeypatch) -> None:
    started = []
    monkeypatch.setattr(cli, "has_boto3", lambda: False)
    monkeypatch.setattr(cli, "ensure_side_environment", lambda settings, name, file: Path(f"/{name}/{file.name}"))
    monkeypatch.setattr(cli.os, "execv", lambda program, command: started.append(command) or exit(0))
    with pytest.raises(SystemExit):
        cli.main(["--dry-run"])
    assert started == [["/push/push.txt", "-m", "fastai_push", "--dry-run"]]


def test_the_device_and_the_base_image_are_those_given(monkeypatch) -> None:
    asked = []
    monkeypatch.setattr(cli, "has_boto3", lambda: True)
    monkeypatch.setattr(push, "push", lambda settings, options: asked.append((settings, options)) or 0)
    monkeypatch.setenv("BASE_IMAGE", "mine:1")
    monkeypatch.setenv("DEVICE", "cpu")
    monkeypatch.setenv("PORT", "of another command, and not read here")
    assert cli.main(["--device", "gpu", "--dry-run"]) == 0
    ((settings, options),) = asked
    assert (settings.device, settings.base) == ("gpu", "mine:1")
    assert options == Options(device="gpu", dry_run=True)


def test_what_is_wrong_is_one_line(monkeypatch, capsys) -> None:
    monkeypatch.setattr(cli, "has_boto3", lambda: True)
    assert cli.main(["--nonsense"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: unrecognized arguments: --nonsense; build_and_push.sh --help")

    def refused(*_: object) -> int:
        raise LocalError("no rights")

    monkeypatch.setattr(push, "push", refused)
    assert cli.main([]) == 1
    assert capsys.readouterr().err == "error: no rights\n"


def test_an_interrupted_push_says_that_it_can_go_on(monkeypatch, capsys) -> None:
    def interrupted(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "has_boto3", lambda: True)
    monkeypatch.setattr(push, "push", interrupted)
    assert cli.main([]) == 130
    assert "what was pushed stays" in capsys.readouterr().err
