from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from fastai_container.errors import ModelFolderError
from fastai_container.model_folder import FORMAT_VERSION, Model, load_model, read_model, writing

MODEL = Model(arch="resnet18", vocab=["cat", "dog"], image_size=64, mean=[0.5] * 3, std=[0.5] * 3)


def write(folder: Path, content: bytes = b"weights") -> None:
    with writing(folder, MODEL) as partial:
        (partial / "model.safetensors").write_bytes(content)
        (partial / "openvino").mkdir()
        (partial / "openvino" / "model.xml").write_bytes(b"<net/>")


def test_round_trip(tmp_path):
    write(tmp_path)
    model = load_model(tmp_path)
    assert (model.arch, model.vocab, model.format_version) == ("resnet18", ["cat", "dog"], FORMAT_VERSION)
    assert set(model.files) == {"model.safetensors", "openvino/model.xml"}
    assert not list(tmp_path.glob(".partial-*"))


def test_another_user_can_read_it(tmp_path):
    write(tmp_path)
    assert all(path.stat().st_mode & stat.S_IROTH for path in tmp_path.rglob("*"))


def test_a_second_model_replaces_the_first(tmp_path):
    write(tmp_path, b"old")
    write(tmp_path, b"new")
    load_model(tmp_path)
    assert (tmp_path / "model.safetensors").read_bytes() == b"new"


def test_a_user_s_own_files_stay(tmp_path):
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "inference.py").write_text("pass")
    write(tmp_path)
    assert (tmp_path / "code" / "inference.py").exists()


def test_failing_midway_leaves_the_old_model(tmp_path):
    write(tmp_path, b"old")

    def fail_midway() -> None:
        with writing(tmp_path, MODEL) as partial:
            (partial / "model.safetensors").write_bytes(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_midway()
    assert load_model(tmp_path).vocab == ["cat", "dog"]
    assert (tmp_path / "model.safetensors").read_bytes() == b"old"


def change(folder: Path, **values: object) -> None:
    content = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps(content | values))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"format_version": FORMAT_VERSION + 1}, "at least as new"),
        ({"format_version": "1"}, "format_version '1'"),
        ({"vocab": ["one"]}, "vocab"),
        ({"image_size": -3}, "image_size"),
        ({"mean": 1}, "mean"),
        ({"files": {"../../etc/passwd": {"bytes": 1, "sha256": ""}}}, "outside the model folder"),
    ],
)
def test_what_model_json_must_not_say(tmp_path, values, words):
    write(tmp_path)
    change(tmp_path, **values)
    with pytest.raises(ModelFolderError, match=words):
        load_model(tmp_path)


def test_no_json(tmp_path):
    write(tmp_path)
    (tmp_path / "model.json").write_text("{")
    with pytest.raises(ModelFolderError, match="damaged"):
        read_model(tmp_path)


def test_incomplete_json(tmp_path):
    (tmp_path / "model.json").write_text('{"format_version": 1}')
    with pytest.raises(ModelFolderError, match="incomplete"):
        read_model(tmp_path)


def test_missing_folder(tmp_path):
    with pytest.raises(ModelFolderError, match="no model folder"):
        read_model(tmp_path / "none")


def test_half_written(tmp_path):
    (tmp_path / ".partial-abc").mkdir()
    with pytest.raises(ModelFolderError, match="half-written"):
        read_model(tmp_path)


def test_another_folder_says_what_it_holds(tmp_path):
    (tmp_path / "export.pkl").write_bytes(b"")
    with pytest.raises(ModelFolderError, match=r"it holds export\.pkl"):
        read_model(tmp_path)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda path: path.unlink(), "missing"),
        (lambda path: path.write_bytes(b"longer than it was"), "bytes"),
        (lambda path: path.write_bytes(b"WEIGHTS"), "SHA-256"),
    ],
)
def test_damaged_files(tmp_path, damage, words):
    write(tmp_path)
    damage(tmp_path / "model.safetensors")
    with pytest.raises(ModelFolderError, match=words):
        load_model(tmp_path)
