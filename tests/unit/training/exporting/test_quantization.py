"""Which precision is served: each is scored on the pictures that it is served with, and the scores decide."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

openvino = pytest.importorskip("openvino")

from openvino import opset13 as ops  # noqa: E402

from fastai_container.pictures import PictureError  # noqa: E402
from fastai_training.data.labels import Example  # noqa: E402
from fastai_training.exporting.quantization import BF16, FP32, INT8, Score, choose, measure, readable  # noqa: E402
from tests.unit.training_data import COLOURS, write_picture  # noqa: E402

SIZE = 16
VOCAB = ["red", "green", "blue"]


def scores(*rows):
    return [Score(name, "f32", error, 1.0, speed) for name, error, speed in rows]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([(FP32, 0.1, 10), (BF16, 0.104, 6), (INT8, 0.105, 3)], INT8),
        ([(FP32, 0.1, 10), (BF16, 0.104, 6), (INT8, 0.106, 3)], BF16),
        ([(FP32, 0.1, 10), (BF16, 0.2, 6), (INT8, 0.2, 3)], FP32),
        ([(FP32, 0.125, 10), (INT8, 0.13, 3)], INT8),
        ([(FP32, 0.1, 2), (INT8, 0.05, 3)], FP32),
    ],
)
def test_auto_takes_the_fastest_within_half_a_point(rows, expected):
    assert choose(scores(*rows), "auto").precision == expected


def test_auto_takes_none_that_answers_otherwise():
    rows = [Score(FP32, "f32", 0.1, 1.0, 10), Score(BF16, "bf16", 0.1, 0.99, 6), Score(INT8, "f32", 0.1, 0.98, 3)]
    assert choose(rows, "auto").precision == BF16


def test_what_is_asked_for_is_taken_whatever_it_costs():
    assert choose(scores((FP32, 0.1, 1), (INT8, 0.9, 9)), INT8).precision == INT8


@pytest.fixture
def compiled(tmp_path: Path) -> Path:
    """A compiled model whose probabilities are each colour's share: it is right of a picture of one colour."""
    pictures = ops.parameter([-1, SIZE, SIZE, 3], np.uint8, name="pictures")
    means = ops.reduce_mean(ops.convert(pictures, np.float32), np.array([1, 2]), False)
    openvino.save_model(openvino.Model([ops.softmax(means, 1)], [pictures]), str(tmp_path / "model.xml"))
    return tmp_path / "model.xml"


def test_a_precision_is_scored_by_how_often_it_is_wrong(compiled: Path, tmp_path: Path):
    items = [Example(write_picture(tmp_path / f"{name}.jpg", COLOURS[name]), name) for name in VOCAB]
    wrong = [*items, Example(items[0].path, "blue")]
    told: list[str] = []
    path, facts = measure(tmp_path, compiled, items, wrong, VOCAB, SIZE, FP32, told.append)
    assert path == compiled
    assert set(facts["scores"]) == {FP32}, "what was not asked for is not measured"
    assert (facts["precision"], facts["asked"], facts["scored_pictures"]) == (FP32, FP32, 4)
    assert (facts["scores"][FP32]["error_rate"], facts["scores"][FP32]["agreement"]) == (0.25, 1)
    assert [line.partition(" ms")[0].rpartition(" ")[0] for line in told] == [
        "serving precision fp32: 25.00% wrong, 100.0% as fp32,"
    ]
    assert told[0].endswith("(chosen)")


def test_of_many_pictures_a_part_is_scored_all_over_the_split(compiled: Path, tmp_path: Path, monkeypatch):
    items = [Example(write_picture(tmp_path / f"{name}.jpg", COLOURS[name]), name) for name in VOCAB]
    monkeypatch.setattr("fastai_training.exporting.quantization.SCORED_PICTURES", 3)
    many = [items[0]] * 3 + [Example(items[1].path, "blue")] * 3
    _, facts = measure(tmp_path, compiled, items, many, VOCAB, SIZE, FP32, lambda _: None)
    assert facts["scored_pictures"] == 3
    assert facts["scores"][FP32]["error_rate"] == pytest.approx(1 / 3, abs=1e-6)


def test_training_pictures_that_nobody_has_looked_at_may_be_unreadable(compiled: Path, tmp_path: Path):
    items = [Example(write_picture(tmp_path / f"{name}.jpg", COLOURS[name]), name) for name in VOCAB]
    bad = Example(tmp_path / "bad.jpg", "red")
    bad.path.write_text("no picture")
    assert [path for path, _ in readable([bad, *items], SIZE)] == [item.path for item in items]
    path, facts = measure(tmp_path, compiled, [bad, *items], items, VOCAB, SIZE, INT8, lambda _: None)
    assert path.exists()
    assert facts["precision"] == INT8
    with pytest.raises(PictureError):
        measure(tmp_path, compiled, [bad], items, VOCAB, SIZE, FP32, lambda _: None)
