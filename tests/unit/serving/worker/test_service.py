from __future__ import annotations

import io
import json

import numpy as np
import pytest
from PIL import Image

from fastai_container.model_folder import ModelManifest
from fastai_serving.environment import WorkerSettings
from fastai_serving.worker import builtin_model
from fastai_serving.worker.heat_map import STEPS, draw, fit, heat_map
from fastai_serving.worker.service import Request, Service

SIZE = 32


class Runtime:
    """Class 1 in proportion to the brightness of the picture's upper left quarter."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.fail_above = 1000
        self.error: type[Exception] = RuntimeError
        self.shared: list[int] = []

    def share(self, busy: int) -> None:
        self.shared.append(busy)

    def predict(self, pictures: np.ndarray) -> np.ndarray:
        self.batches.append(len(pictures))
        if len(pictures) > self.fail_above:
            raise self.error("no")
        bright = pictures[:, : SIZE // 2, : SIZE // 2].mean(axis=(1, 2, 3)) / 256
        return np.stack([1 - bright, bright], axis=1).astype(np.float32)


@pytest.fixture
def runtime(monkeypatch) -> Runtime:
    runtime = Runtime()
    model = ModelManifest("net", ["dark", "light"], SIZE, [0.5] * 3, [0.5] * 3)
    monkeypatch.setattr(builtin_model, "read_manifest", lambda folder: model)
    monkeypatch.setattr(builtin_model, "load_runtime", lambda *_: runtime)
    return runtime


@pytest.fixture
def ours(runtime: Runtime, tmp_path) -> Service:
    built = Service(tmp_path, WorkerSettings(1, "application/json", 10_000, 4))
    assert sorted(runtime.batches) == [1, 4], "warmed up with a single picture and a whole batch"
    runtime.batches.clear()
    return built


def picture(value: int, size: int = SIZE) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (size, size), (value, value, value)).save(stream, "PNG")
    return stream.getvalue()


def request(body: bytes, accept: str = "", **headers: str) -> Request:
    return Request({name.replace("_", "-"): value for name, value in headers.items()}, body, "image/png", accept)


def test_one_pass_for_a_batch_and_an_answer_for_each(ours: Service, runtime: Runtime):
    answers = ours.answer(
        [request(picture(250)), request(b"?"), request(picture(5), "text/csv"), request(picture(9, 200)), request(b"")]
    )
    assert runtime.batches == [2]
    assert [answer.status for answer in answers] == [200, 400, 200, 400, 400]
    assert json.loads(answers[0].body)["class"] == "light"
    assert answers[2].body.splitlines()[1].startswith(b"dark,")
    codes = [json.loads(answers[index].body)["error"]["code"] for index in (1, 3, 4)]
    assert codes == ["not_an_image", "too_many_pixels", "empty_body"]


def test_the_runtime_knows_how_many_workers_are_busy(ours: Service, runtime: Runtime):
    ours.answer([request(picture(250))], busy=1)
    ours.answer([request(picture(250))], busy=2)
    ours.answer([request(picture(250))])
    assert runtime.shared == [1, 2]


@pytest.mark.parametrize(("error", "status"), [(RuntimeError, 500), (MemoryError, 507)])
def test_a_failing_pass_is_tried_picture_by_picture(ours: Service, runtime: Runtime, error, status):
    runtime.error, runtime.fail_above = error, 1
    assert [answer.status for answer in ours.answer([request(picture(1)), request(picture(250))])] == [200, 200]
    runtime.fail_above = 0
    answers = ours.answer([request(picture(1)), request(picture(250))])
    assert [answer.status for answer in answers] == [status, status]
    assert b"Traceback" not in answers[0].body


def test_no_memory_for_a_picture_is_507(ours: Service, monkeypatch):
    def short(*_):
        raise MemoryError

    monkeypatch.setattr(builtin_model, "open_picture", short)
    assert ours.answer([request(picture(1))])[0].status == 507


def test_heat_is_where_the_answer_comes_from(runtime: Runtime):
    heat = heat_map(
        runtime.predict, np.full((SIZE, SIZE, 3), 10, np.uint8) + np.eye(SIZE, dtype=np.uint8)[..., None], 0
    )
    assert heat.shape == (STEPS, STEPS)
    bright = np.zeros((SIZE, SIZE, 3), np.uint8)
    bright[: SIZE // 2, : SIZE // 2] = 255
    heat = heat_map(runtime.predict, bright, 1)
    assert heat.max() == pytest.approx(1)
    half = STEPS // 2
    assert heat[: half - 1, : half - 1].mean() > 0.5
    assert heat[half + 1 :, half + 1 :].max() == 0


@pytest.mark.parametrize("size", [(10, 300), (300, 10), (64, 64), (1, 1)])
def test_any_shape_is_drawn(size):
    predictions = [{"class": "a very long name of a class, longer than the panel" * 2, "confidence": 1.0}]
    predictions += [{"class": str(index), "confidence": 0.0} for index in range(9)]
    drawn = draw(fit(Image.new("RGB", size, "green")), np.zeros((STEPS, STEPS), np.float32), predictions)
    assert Image.open(io.BytesIO(drawn)).height == 448


def test_a_png_is_asked_for_by_accept(ours: Service):
    answer = ours.answer([request(picture(200), "image/png")])[0]
    assert answer.content_type == "image/png"
    assert answer.body.startswith(b"\x89PNG")
