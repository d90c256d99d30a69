from __future__ import annotations

import io
import json

import numpy as np
import pytest
from PIL import Image

from fastai_container.model_folder import ModelManifest
from fastai_serving.environment import WorkerSettings
from fastai_serving.worker import builtin_model
from fastai_serving.worker.builtin_model import BuiltinModel, load_predictor
from fastai_serving.worker.request import CUSTOM_ATTRIBUTES, Request

SIZE = 32


class FakeBackend:
    """Class 1 in proportion to the brightness of the picture's upper left quarter."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.fail_above = 1000
        self.error: type[Exception] = RuntimeError
        self.busy: list[int] = []
        self.size = None

    def set_busy_workers(self, busy: int) -> None:
        self.busy.append(busy)

    def predict(self, pictures: np.ndarray) -> np.ndarray:
        self.batches.append(len(pictures))
        if len(pictures) > self.fail_above:
            raise self.error("no")
        bright = pictures[:, : SIZE // 2, : SIZE // 2].mean(axis=(1, 2, 3)) / 256
        return np.stack([1 - bright, bright], axis=1).astype(np.float32)


@pytest.fixture
def backend(monkeypatch) -> FakeBackend:
    backend = FakeBackend()
    model = ModelManifest("net", ["dark", "light"], SIZE, [0.5] * 3, [0.5] * 3)
    monkeypatch.setattr(builtin_model, "read_manifest", lambda folder: model)
    monkeypatch.setattr(builtin_model, "load_backend", lambda *_: backend)
    return backend


@pytest.fixture
def ours(backend: FakeBackend, tmp_path) -> BuiltinModel:
    settings = WorkerSettings(1, "application/json", 10_000, 4)
    built = BuiltinModel(load_predictor(tmp_path, settings, None), settings)
    assert sorted(backend.batches) == [1, 4], "warmed up with a single picture and a whole batch"
    backend.batches.clear()
    return built


def picture(value: int, size: int = SIZE) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (size, size), (value, value, value)).save(stream, "PNG")
    return stream.getvalue()


def request(body: bytes, accept: str = "", **headers: str) -> Request:
    return Request({name.replace("_", "-"): value for name, value in headers.items()}, body, "image/png", accept)


def test_one_pass_for_a_batch_and_a_response_for_each(ours: BuiltinModel, backend: FakeBackend):
    responses = ours.predict(
        [request(picture(250)), request(b"?"), request(picture(5), "text/csv"), request(picture(9, 200)), request(b"")]
    )
    assert backend.batches == [2]
    assert [response.status for response in responses] == [200, 400, 200, 400, 400]
    assert json.loads(responses[0].body)["class"] == "light"
    assert responses[2].body.splitlines()[1].startswith(b"dark,")
    codes = [json.loads(responses[index].body)["error"]["code"] for index in (1, 3, 4)]
    assert codes == ["not_an_image", "too_many_pixels", "empty_body"]


def test_the_backend_is_told_how_many_workers_are_busy(ours: BuiltinModel, backend: FakeBackend):
    ours.set_busy_workers(1)
    ours.set_busy_workers(2)
    assert backend.busy == [1, 2]


@pytest.mark.parametrize(("error", "status"), [(RuntimeError, 500), (MemoryError, 507)])
def test_a_failing_pass_is_tried_picture_by_picture(ours: BuiltinModel, backend: FakeBackend, error, status):
    backend.error, backend.fail_above = error, 1
    assert [response.status for response in ours.predict([request(picture(1)), request(picture(250))])] == [200, 200]
    backend.fail_above = 0
    responses = ours.predict([request(picture(1)), request(picture(250))])
    assert [response.status for response in responses] == [status, status]
    assert b"Traceback" not in responses[0].body


def test_no_memory_for_a_picture_is_507(ours: BuiltinModel, monkeypatch):
    def short(*_):
        raise MemoryError

    monkeypatch.setattr(builtin_model, "open_picture", short)
    assert ours.predict([request(picture(1))])[0].status == 507


def test_a_png_is_asked_for_by_accept(ours: BuiltinModel):
    response = ours.predict([request(picture(200), "image/png")])[0]
    assert response.content_type == "image/png"
    assert response.body.startswith(b"\x89PNG")


def test_the_headers_are_read_once_and_a_wrong_top_k_names_the_true_range(ours: BuiltinModel, backend: FakeBackend):
    wrong = Request({CUSTOM_ATTRIBUTES: "top_k=abc"}, picture(1), "image/png", "")
    one = Request({CUSTOM_ATTRIBUTES: "top_k=1"}, picture(1), "image/png", "")
    responses = ours.predict([wrong, one])
    assert backend.batches == [1], "what is wrong is said before the model runs"
    assert json.loads(responses[0].body)["error"]["message"] == "top_k='abc' must be a whole number from 1 to 2"
    assert len(json.loads(responses[1].body)["predictions"]) == 1


def test_the_requests_default_accept_decides_where_the_client_does_not(ours: BuiltinModel):
    asked = [Request({}, picture(1), "image/png", accept, "text/csv") for accept in ("", "*/*", "application/json")]
    kinds = [response.content_type for response in ours.predict(asked)]
    assert kinds == ["text/csv; charset=utf-8"] * 2 + ["application/json"]
