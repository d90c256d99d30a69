from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fastai_container.errors import UserError
from fastai_serving.environment import WorkerSettings
from fastai_serving.responses import Response
from fastai_serving.user_code.hooks import Hook, Hooks
from fastai_serving.worker import script_model, service
from fastai_serving.worker.builtin_model import BuiltinModel, Predictor
from fastai_serving.worker.request import Request
from fastai_serving.worker.script_model import ScriptModel
from fastai_serving.worker.service import Service, load_served_model

SETTINGS = WorkerSettings(1, "application/json", 10_000)


class FakeModel:
    def __init__(self) -> None:
        self.busy: list[int] = []

    def predict(self, requests: Any) -> list[Response]:
        return [Response(request.body) for request in requests]

    def set_busy_workers(self, busy: int) -> None:
        self.busy.append(busy)


@pytest.fixture
def ours(monkeypatch, tmp_path: Path) -> Path:
    """A folder with a model of ours, which nobody runs."""
    (tmp_path / "model.json").write_text("{}")

    def load(*_: Any) -> Predictor:
        predictor = Predictor.__new__(Predictor)
        predictor.model = type("Model", (), {"image_size": 8, "vocab": ["a", "b"]})()
        return predictor

    monkeypatch.setattr(service, "load_predictor", load)
    monkeypatch.setattr(script_model, "load_predictor", load)
    return tmp_path


def test_which_model_is_served(ours: Path):
    hook = Hook(lambda *_: None)
    assert isinstance(load_served_model(ours, SETTINGS), BuiltinModel)
    ready = load_served_model(ours, SETTINGS, Hooks(model_warmup_fn=hook))
    assert isinstance(ready, BuiltinModel), "a script that only gets ready leaves the batches to ours"
    assert isinstance(load_served_model(ours, SETTINGS, Hooks(output_fn=hook)), ScriptModel)


def test_a_default_format_that_is_not_ours_is_refused_without_a_script(ours: Path):
    odd = WorkerSettings(1, "application/x-npy", 10_000)
    with pytest.raises(UserError, match="SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT"):
        load_served_model(ours, odd)
    assert load_served_model(ours, odd, Hooks(output_fn=Hook(lambda *_: None)))


def test_the_model_is_told_how_many_workers_are_busy_where_somebody_knows(ours: Path):
    built = Service(ours, SETTINGS)
    model = FakeModel()
    built.model = model
    request = Request({}, b"x", "image/png", "")
    assert [response.body for response in built.respond([request, request], busy=1)] == [b"x", b"x"]
    built.respond([request], busy=2)
    built.respond([request])
    assert model.busy == [1, 2]
