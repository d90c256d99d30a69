"""Whatever a backend opens is what training wrote, and fits together: a small compiled model, altered in every way."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import openvino
import pytest
from openvino import opset13 as ops

from fastai_container.errors import ModelFolderError
from fastai_container.model_folder import (
    COMPILED_MODEL,
    COMPILED_WEIGHTS,
    TORCH_MODEL,
    ModelManifest,
    read_manifest,
    seal,
    writing,
)
from fastai_serving.environment import JSON, SEAL_ENV, WorkerSettings
from fastai_serving.worker.backends import load_backend
from fastai_serving.worker.service import Request, Service

SIZE = 8
VOCAB = ["red", "green", "blue"]
SETTINGS = WorkerSettings(1, JSON, 10_000, 2)


def write_compiled_model(path: Path, scale: float = 1.0) -> None:
    """The mean of each colour as a share of their sum: probabilities of red, green and blue."""
    pictures = ops.parameter([-1, SIZE, SIZE, 3], np.uint8, name="pictures")
    # Weights large enough that they are in the .bin, and not only in the graph.
    weights = ops.constant(np.full((SIZE, SIZE, 3), scale, np.float32))
    sums = ops.reduce_sum(ops.multiply(ops.convert(pictures, np.float32), weights), np.array([1, 2]), False)
    total = ops.add(ops.reduce_sum(sums, np.array([1]), True), np.float32(1e-3))
    openvino.save_model(openvino.Model([ops.divide(sums, total)], [pictures]), str(path), compress_to_fp16=False)


def write(folder: Path, vocab: list[str] = VOCAB, size: int = SIZE, scale: float = 1.0) -> Path:
    details = ModelManifest("small", vocab, size, [0.5] * 3, [0.5] * 3)
    with writing(folder, details) as partial:
        (partial / COMPILED_MODEL).parent.mkdir()
        write_compiled_model(partial / COMPILED_MODEL, scale)
        (partial / "model.safetensors").write_bytes(b"the weights")
    return folder


def serve(folder: Path) -> Service:
    return Service(folder, SETTINGS)


def red() -> Request:
    return Request({}, f"P6 {SIZE} {SIZE} 255\n".encode() + b"\xff\0\0" * SIZE * SIZE, "image/x-portable-pixmap", "")


def test_a_right_model_answers(tmp_path):
    response = serve(write(tmp_path)).respond([red()])[0]
    assert (response.status, json.loads(response.body)["class"]) == (200, "red")


def alter(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x40
    path.write_bytes(content)


@pytest.mark.parametrize("name", [COMPILED_MODEL, COMPILED_WEIGHTS])
def test_altered_files_are_refused_with_nobody_to_verify_them_before(tmp_path, name):
    alter(write(tmp_path) / name)
    with pytest.raises(ModelFolderError, match=rf"{name} is not the file that training wrote"):
        serve(tmp_path)


def test_what_is_not_opened_is_not_read(tmp_path):
    (write(tmp_path) / "model.safetensors").write_bytes(b"damaged, but nobody uses it here")
    assert serve(tmp_path)


def test_a_program_that_model_json_does_not_list_is_refused(tmp_path):
    write(tmp_path)
    content = json.loads((tmp_path / "model.json").read_text())
    for name in (COMPILED_MODEL, COMPILED_WEIGHTS):
        without = content | {"files": {other: facts for other, facts in content["files"].items() if other != name}}
        (tmp_path / "model.json").write_text(json.dumps(without))
        with pytest.raises(ModelFolderError, match=f"doesn't list {name}"):
            serve(tmp_path)
    (tmp_path / "model.json").write_text(json.dumps(content))
    (tmp_path / TORCH_MODEL).parent.mkdir()
    (tmp_path / TORCH_MODEL).write_bytes(b"anybody's")
    with pytest.raises(ModelFolderError, match=f"doesn't list {TORCH_MODEL}"):
        load_backend(tmp_path, read_manifest(tmp_path), 1, gpu=0)


def test_the_supervisors_word_holds_for_the_files_that_it_saw(tmp_path, monkeypatch):
    model = read_manifest(write(tmp_path))
    hashed: list[Path] = []
    monkeypatch.setattr("fastai_container.model_folder._sha256", lambda path: hashed.append(path) or "")
    monkeypatch.setenv(SEAL_ENV, seal(tmp_path, model))
    assert serve(tmp_path)
    assert hashed == []
    alter(tmp_path / COMPILED_WEIGHTS)
    with pytest.raises(ModelFolderError, match="SHA-256 differs"):
        serve(tmp_path)
    assert hashed
    hashed.clear()
    monkeypatch.setenv(SEAL_ENV, "")
    with pytest.raises(ModelFolderError, match="SHA-256 differs"):
        serve(tmp_path)
    assert hashed


@pytest.mark.parametrize("count", [2, 4, 40])
def test_a_vocabulary_of_another_length_is_refused_at_the_start(tmp_path, count):
    write(tmp_path, [f"class {index}" for index in range(count)])
    with pytest.raises(ModelFolderError, match=f"has 3 outputs but model.json names {count} classes"):
        serve(tmp_path)


def test_another_image_size_than_the_programs_is_refused_at_the_start(tmp_path):
    write(tmp_path, size=16)
    with pytest.raises(ModelFolderError, match=r"takes pictures of 8 x 8 pixels but model\.json says 16"):
        serve(tmp_path)


def test_weights_that_are_no_numbers_are_refused_at_the_start(tmp_path):
    write(tmp_path, scale=float("nan"))
    with pytest.raises(ModelFolderError, match="NaN or infinite"):
        serve(tmp_path)
