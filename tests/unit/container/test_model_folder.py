from __future__ import annotations

import dataclasses
import json
import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from fastai_container.errors import ModelFolderError, UserError
from fastai_container.model_folder import FORMAT_VERSION, ModelManifest, load_verified, read_manifest, seal, writing

MODEL = ModelManifest(arch="resnet18", vocab=["cat", "dog"], image_size=64, mean=[0.5] * 3, std=[0.5] * 3)


def write(folder: Path, content: bytes = b"weights") -> None:
    with writing(folder, MODEL) as partial:
        (partial / "model.safetensors").write_bytes(content)
        (partial / "openvino").mkdir()
        (partial / "openvino" / "model.xml").write_bytes(b"<net/>")


def test_round_trip(tmp_path):
    write(tmp_path)
    model = load_verified(tmp_path)
    assert (model.arch, model.vocab, model.format_version) == ("resnet18", ["cat", "dog"], FORMAT_VERSION)
    assert set(model.files) == {"model.safetensors", "openvino/model.xml"}
    assert not list(tmp_path.glob(".partial-*"))


def test_lineage_is_written_where_there_is_one_alone(tmp_path):
    """Images from before the field read what doesn't need it."""
    write(tmp_path)
    assert "lineage" not in json.loads((tmp_path / "model.json").read_text())
    assert load_verified(tmp_path).lineage == {}
    lineage = {"parent": {"model_json_sha256": "0" * 64}}
    with writing(tmp_path, dataclasses.replace(MODEL, lineage=lineage)) as partial:
        (partial / "model.safetensors").write_bytes(b"weights")
    assert load_verified(tmp_path).lineage == lineage


def test_another_user_can_read_it(tmp_path):
    write(tmp_path)
    assert all(path.stat().st_mode & stat.S_IROTH for path in tmp_path.rglob("*"))


def test_a_second_model_replaces_the_first(tmp_path):
    write(tmp_path, b"old")
    write(tmp_path, b"new")
    load_verified(tmp_path)
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
    assert load_verified(tmp_path).vocab == ["cat", "dog"]
    assert (tmp_path / "model.safetensors").read_bytes() == b"old"


def change(folder: Path, **values: object) -> None:
    content = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps(content | values))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"format_version": FORMAT_VERSION + 1}, "at least as new"),
        ({"format_version": "1"}, "format_version '1'"),
        ({"image_size": -3}, "image_size"),
        ({"mean": 1}, "mean"),
        ({"files": {"../../etc/passwd": {"bytes": 1, "sha256": ""}}}, "outside the model folder"),
    ],
)
def test_what_model_json_must_not_say(tmp_path, values, words):
    write(tmp_path)
    change(tmp_path, **values)
    with pytest.raises(ModelFolderError, match=words):
        load_verified(tmp_path)


def test_no_json(tmp_path):
    write(tmp_path)
    (tmp_path / "model.json").write_text("{")
    with pytest.raises(ModelFolderError, match="damaged"):
        read_manifest(tmp_path)


def test_incomplete_json(tmp_path):
    (tmp_path / "model.json").write_text('{"format_version": 1}')
    with pytest.raises(ModelFolderError, match="incomplete"):
        read_manifest(tmp_path)


def test_missing_folder(tmp_path):
    with pytest.raises(ModelFolderError, match="no model folder"):
        read_manifest(tmp_path / "none")


def test_half_written(tmp_path):
    (tmp_path / ".partial-abc").mkdir()
    with pytest.raises(ModelFolderError, match="half-written"):
        read_manifest(tmp_path)


def test_another_folder_says_what_it_holds(tmp_path):
    (tmp_path / "export.pkl").write_bytes(b"")
    with pytest.raises(ModelFolderError, match=r"it holds export\.pkl"):
        read_manifest(tmp_path)


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
        load_verified(tmp_path)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"format_version": True}, "format_version True"),
        ({"resize": "squish"}, "resize is 'squish'; this image knows 'center_square' alone"),
        ({"interpolation": "bicubic"}, "interpolation is 'bicubic'"),
        ({"tta": 4}, "'tta' is no field of format version 1"),
        ({"program": {"inference_precision_hint": "f16"}}, "inference_precision_hint 'f16'; .* f32 and bf16"),
        ({"program": {"inference_precision_hint": ["f32"]}}, "inference_precision_hint"),
        ({"program": {"layout": "NCHW"}}, "program has 'layout'"),
        ({"program": 3}, "program must be an object"),
        ({"metrics": []}, "metrics must be an object"),
        ({"arch": None}, "arch must be a text"),
        ({"image_size": 10**300}, "image_size is 1000.*from 1 to 2048"),
        ({"image_size": True}, "image_size is True"),
        ({"image_size": 2049}, "image_size is 2049"),
        ({"mean": [0.5, 0.5, float("nan")]}, "mean must be three numbers"),
        ({"std": [0.5, 0.5, 0]}, "std must be three numbers above 0"),
        ({"vocab": "ab"}, "vocab must be a list"),
        ({"vocab": [False, True]}, "vocab must be a list"),
        ({"vocab": ["one"]}, "at least two classes, not 1"),
        ({"vocab": ["a", " \n"]}, "an empty name at place 2"),
        ({"vocab": ["a", "b", "a"]}, "names 'a' 2 times"),
        ({"vocab": ["a", "b" * 1001]}, r"a name of 1,001 characters \('b{70,}\.\.\.\); at most 1,000"),
        ({"vocab": ["a", "\udce9"]}, r"not Unicode text \('\\udce9'\)"),
        ({"files": {"a": 5}}, r"files must give size \(bytes\) and sha256 of 'a'"),
        ({"files": {"a": None}}, r"size \(bytes\) and sha256 of 'a'"),
        ({"files": {"a": {"bytes": -1, "sha256": ""}}}, "size"),
        ({"files": {"/etc/passwd": {"bytes": 1, "sha256": ""}}}, "outside the model folder"),
        ({"files": {"a\0b": {"bytes": 1, "sha256": ""}}}, "outside the model folder"),
        ({"files": {"": {"bytes": 1, "sha256": ""}}}, "outside the model folder"),
    ],
)
def test_what_is_not_understood_is_refused_by_name_on_every_path(tmp_path, values, words):
    write(tmp_path)
    change(tmp_path, **values)
    with pytest.raises(ModelFolderError, match=words) as caught:
        read_manifest(tmp_path)
    assert len(str(caught.value)) < 600 + len(str(tmp_path))
    assert "\n" not in str(caught.value)


def test_names_of_every_script_are_taken(tmp_path):
    write(tmp_path)
    change(tmp_path, vocab=["猫", "개", "قطة", "חתול", "แมว", "बिल्ली", "x" * 1000, "pug, fawn", "-", "🐈"])
    assert len(load_verified(tmp_path).vocab) == 10


def test_training_takes_no_size_that_serving_refuses():
    from fastai_container.model_folder import MAX_IMAGE_SIZE
    from fastai_training.hyperparameters import parse

    assert parse({"image_size": str(MAX_IMAGE_SIZE)}).image_size == MAX_IMAGE_SIZE
    with pytest.raises(UserError):
        parse({"image_size": str(MAX_IMAGE_SIZE + 1)})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[" * 100_000, "nested deeper than 64 levels; the model is damaged"),
        ('{"format_version": 1, "vocab": ' + "[" * 50_000 + "]" * 50_000 + "}", "nested deeper"),
        ('{"format_version": 1, "vocab": ["a", "b"], "vocab": ["b", "a"]}', "'vocab' is given twice"),
        ("null", "no JSON object"),
        ('"model"', "no JSON object"),
        ('{"format_version": ' + "9" * 5000 + "}", "not valid JSON"),
        ("\xff", "not valid JSON"),
        ("", "not valid JSON"),
    ],
)
def test_documents_that_are_no_model(tmp_path, text, words):
    (tmp_path / "model.json").write_text(text, encoding="latin-1")
    with pytest.raises(ModelFolderError, match=words) as caught:
        read_manifest(tmp_path)
    assert len(str(caught.value)) < 500 + len(str(tmp_path))


def test_a_document_too_large_is_not_even_read(tmp_path):
    with (tmp_path / "model.json").open("wb") as file:
        file.truncate(100 << 20)
    with pytest.raises(ModelFolderError, match=r"104,857,600 bytes, more than any"):
        read_manifest(tmp_path)


def test_a_byte_order_mark_is_read_over(tmp_path):
    write(tmp_path)
    content = (tmp_path / "model.json").read_bytes()
    (tmp_path / "model.json").write_bytes(b"\xef\xbb\xbf" + content)
    assert load_verified(tmp_path).vocab == ["cat", "dog"]


#: Run as another user, who may not read everything: what reading the folder of its argument says.
READ = """
import os, sys
from pathlib import Path
from fastai_container.errors import UserError
from fastai_container.model_folder import load_verified
load_verified(Path(sys.argv[2]))  # Python itself may lie where the other user can't import from
os.setgid(10001); os.setuid(10001)
try:
    load_verified(Path(sys.argv[1]))
except UserError as error:
    print(error)
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize(
    ("name", "mode"),
    [("model.json", 0o600), ("openvino", 0o700), ("openvino", 0o744), ("openvino/model.xml", 0o600), (".", 0o700)],
)
def test_what_another_user_may_not_read_is_named(name, mode):
    with tempfile.TemporaryDirectory() as place:  # pytest's own folders are closed to others
        Path(place).chmod(0o755)
        folder = Path(place) / "model"
        write(folder)
        write(good := Path(place) / "good")
        (folder / name).chmod(mode)
        done = subprocess.run([sys.executable, "-c", READ, folder, good], capture_output=True, text=True, timeout=120)
        (folder / name).chmod(0o755)
    assert "can't be read by user 10001: allow it (chmod -R a+rX)" in done.stdout, done.stderr
    assert done.stdout.count("\n") == 1


def test_a_name_that_no_file_can_have(tmp_path):
    write(tmp_path)
    for name in ("x" * 300, "\ud800"):
        change(tmp_path, files={name: {"bytes": 1, "sha256": ""}})
        with pytest.raises(ModelFolderError, match="can't be read"):
            load_verified(tmp_path)


def test_a_file_that_is_needed_but_not_listed_is_refused(tmp_path):
    write(tmp_path)
    (tmp_path / "openvino" / "model.bin").write_bytes(b"anybody's")
    with pytest.raises(ModelFolderError, match=r"doesn't list openvino/model\.bin"):
        load_verified(tmp_path, ("openvino/model.xml", "openvino/model.bin"))
    (tmp_path / "openvino" / "model.bin").unlink()
    with pytest.raises(ModelFolderError, match=r"openvino/model\.bin is missing"):
        load_verified(tmp_path, ("openvino/model.bin",))


def test_a_seal_holds_until_a_file_changes(tmp_path):
    write(tmp_path)
    model = load_verified(tmp_path)
    before = seal(tmp_path, model)
    assert before
    assert seal(tmp_path, model) == before
    path = tmp_path / "model.safetensors"
    times = path.stat()
    path.write_bytes(b"WEIGHTS")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert seal(tmp_path, model) != before
    path.unlink()
    assert seal(tmp_path, model) == ""
