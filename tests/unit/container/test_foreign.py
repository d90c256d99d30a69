from __future__ import annotations

import pickle
import zipfile
from pathlib import Path

import pytest

from fastai_container import foreign
from fastai_container.errors import ModelFolderError
from fastai_container.model_folder import read_manifest


class Evil:
    """A pickle that leaves a mark when it is opened."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (["export.pkl"], "export.pkl is a learner exported by fastai"),
        (["model.pkl"], "never opened without a script"),
        (["mine.pkl", "notes.txt"], "There are two ways: put a script in its code/ folder"),
        (["export.pkl", "inference.py"], r"inference.py lies beside code/, not in it"),
        (["inference.py"], r"put scripts into the folder code/"),
        (["code/predictor.py"], "nothing names code/predictor.py: .*SAGEMAKER_PROGRAM=predictor.py"),
        (["export.pkl", "code/predictor.py"], "nothing names code/predictor.py"),
        (["model.pth"], "holds PyTorch's weights or a pickled model"),
        (["pytorch_model.bin"], "pytorch_model.bin holds PyTorch's weights"),
        (["model.safetensors"], "model.safetensors is weights alone"),
        (["model.onnx"], "an ONNX model"),
        (["saved_model.pb"], "a TensorFlow model"),
        (["1/saved_model.pb"], "a TensorFlow model"),
        (["model.joblib"], "a scikit-learn model"),
        (["model.tar.gz"], "model.tar.gz is packed: unpack it there"),
        (["model/model.json"], "in its folder model: mount that one"),
        (["notes.txt"], "mount the folder that training made"),
        ([], "it is empty"),
    ],
)
def test_what_is_found_is_named_with_what_to_do(tmp_path: Path, names: list[str], reason: str):
    mark = tmp_path / "opened"
    folder = tmp_path / "model"
    folder.mkdir()
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(pickle.dumps(Evil(mark)))
    with pytest.raises(ModelFolderError, match=reason) as caught:
        read_manifest(folder)
    assert "no model.json" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not mark.exists()


@pytest.mark.parametrize("here", [True, False])
def test_the_other_image_is_named_only_where_it_is_the_other(tmp_path: Path, monkeypatch, here: bool):
    monkeypatch.setattr(foreign, "_has_fastai", lambda: here)
    for name in ("export.pkl", "model.pth"):
        (tmp_path / name).write_bytes(b"")
        assert ("fastai-sagemaker-training" in (foreign.explain(tmp_path) or "")) is not here
        (tmp_path / name).unlink()


def archive(path: Path, *names: str) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for name in names:
            file.writestr(name, "")
    return path


def test_torchscript_is_told_from_what_torch_save_writes(tmp_path: Path):
    saved = archive(tmp_path / "weights.pth", "archive/data.pkl", "archive/version")
    assert foreign.torchscript(tmp_path) is None
    program = archive(tmp_path / "net.pt", "net/data.pkl", "net/constants.pkl", "net/code/__torch__.py")
    assert foreign.torchscript(tmp_path) == program
    assert "net.pt is a TorchScript file" in (foreign.explain(tmp_path) or "")
    other = archive(tmp_path / "other.pt", "net/constants.pkl", "net/code/__torch__.py")
    assert foreign.torchscript(tmp_path) is None, "two of them: nothing says which"
    assert foreign.torchscript(other.rename(tmp_path / "model.pt").parent) == tmp_path / "model.pt"
    saved.write_bytes(b"junk")
    (tmp_path / "model.pt").write_bytes(b"PK\x05\x06")
    assert foreign.torchscript(tmp_path) == program
