from __future__ import annotations

import json
from pathlib import Path

import pytest

from fastai_local.commands import demo as subject
from fastai_local.errors import LocalError
from fastai_local.native_runtime import NativeRuntime
from fastai_local.settings import Settings


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "output" / "data").mkdir(parents=True)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.json").write_text(json.dumps({"metrics": {"error_rate": 0.125}}))
    return tmp_path


def list_validation(out: Path, *rows: str) -> None:
    (out / "output" / "data" / "validation.csv").write_text("\n".join(["file,label", *rows]) + "\n")


def test_the_first_jpeg_that_is_there_is_sent(out: Path) -> None:
    data = out / "data"
    (data / "pug").mkdir(parents=True)
    (data / "pug" / "b c.JPG").touch()
    list_validation(out, "pug/a.png,pug", "pug/gone.jpg,pug", "pug/b c.JPG,pug")
    assert subject.held_out_picture(out, data) == data / "pug" / "b c.JPG"


def test_no_jpeg_or_no_list_is_an_error(out: Path) -> None:
    with pytest.raises(LocalError, match=r"validation\.csv"):
        subject.held_out_picture(out, out)
    list_validation(out, "a.png,x")
    with pytest.raises(LocalError, match="no JPEG"):
        subject.held_out_picture(out, out)


def test_the_validation_error_is_the_models(out: Path) -> None:
    assert subject.validation_error(out) == 0.125
    (out / "model" / "model.json").write_text("{}")
    with pytest.raises(LocalError, match="error_rate"):
        subject.validation_error(out)


@pytest.fixture
def steps(monkeypatch, out: Path) -> list[str]:
    """A demo whose programs are noted instead of run."""
    done: list[str] = []
    (out / "a.jpg").touch()

    def train(settings, runtime, place) -> None:
        done.append(f"train {dict(settings.hyperparameters)}")
        place.mkdir(parents=True)
        for name in ("output", "model"):
            (place / name).symlink_to(out / name)
        list_validation(out, "a.jpg,x")

    monkeypatch.setattr(subject, "train", train)
    monkeypatch.setattr(subject, "serve", lambda *_: done.append("serve"))
    monkeypatch.setattr(subject, "predict", lambda *_: done.append("predict") or '{"class": "x"}')
    monkeypatch.setattr(NativeRuntime, "stop", lambda *_: done.append("stop"))
    return done


def test_the_demo_with_the_users_data(steps: list[str], out: Path) -> None:
    settings = Settings(root=out, data=out, hyperparameters={"epochs": "5"})
    assert subject.run_demo(settings, NativeRuntime(Settings())) == '{"class": "x"}'
    assert steps == ["train {'arch': 'efficientnet_lite0', 'epochs': '5'}", "serve", "predict", "stop"]


def test_a_failed_request_still_stops_the_endpoint(steps: list[str], out: Path, monkeypatch) -> None:
    def fail(*_) -> str:
        raise LocalError("no")

    monkeypatch.setattr(subject, "predict", fail)
    with pytest.raises(LocalError, match="no"):
        subject.run_demo(Settings(root=out, data=out), NativeRuntime(Settings()))
    assert steps[-1] == "stop"


def test_an_endpoint_that_was_there_before_is_not_stopped(steps: list[str], out: Path, monkeypatch) -> None:
    def taken(*_) -> None:
        raise LocalError("port 8080 already has an endpoint of ours")

    monkeypatch.setattr(subject, "serve", taken)
    with pytest.raises(LocalError, match="already"):
        subject.run_demo(Settings(root=out, data=out, port=8080), NativeRuntime(Settings()))
    assert "stop" not in steps
