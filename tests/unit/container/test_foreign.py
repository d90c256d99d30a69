from __future__ import annotations

import pickle
import zipfile
from pathlib import Path

import pytest

from fastai_container import foreign, old_fastai
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


# Learners of an older fastai.


def pickled(path: Path, *modules: str, protocol: int = 2, legacy: bool = False) -> Path:
    """What names a class of each of the modules, as torch.save writes it; none of them exists."""
    names = b"".join(
        f"c{module}\nThing\n0".encode() if protocol < 4
        else b"\x8c" + bytes([len(module)]) + module.encode() + b"\x8c\x05Thing\x93" + b"0"
        for module in modules
    )  # fmt: skip
    data = b"\x80" + bytes([protocol]) + names + b"N."
    if legacy:
        path.write_bytes(b"\x80\x02N." * 3 + data)
    else:
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("export/data.pkl", data)
    return path


@pytest.mark.parametrize("options", [{}, {"protocol": 4}, {"legacy": True}])
def test_the_modules_of_a_learner_are_read_without_opening_it(tmp_path: Path, options: dict):
    path = pickled(tmp_path / "export.pkl", "fastai.basic_data", "fastcore.transform", **options)
    assert old_fastai.modules_of(path) == {"fastai.basic_data", "fastcore.transform"}


def test_what_is_no_learner_has_no_modules(tmp_path: Path):
    (tmp_path / "junk").write_bytes(b"junk" * 100)
    assert old_fastai.modules_of(tmp_path / "junk") == set()
    assert old_fastai.modules_of(tmp_path / "gone") == set()


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ModuleNotFoundError("no", name="fastai.basic_train"), "written for fastai 1"),
        (ModuleNotFoundError("no", name="fastai.callbacks.hooks"), "written for fastai 1"),
        (ModuleNotFoundError("no", name="fastai2.vision"), "import fastai instead"),
        (ModuleNotFoundError("No module named 'fastcore.transform'", name="fastcore.transform"), "fastai 2.7"),
        (RuntimeError("attempted to import from `fastcore.dispatch`"), "fastai 2.7"),
    ],
)
def test_errors_of_older_scripts(error: Exception, words: str):
    assert words in (old_fastai.sentence(error) or "")
    assert "\n" not in (old_fastai.sentence(error) or "")


@pytest.mark.parametrize(
    "error",
    [
        ModuleNotFoundError("no", name="fastai.vision.all"),
        ModuleNotFoundError("no", name="fastai.corelib"),
        ModuleNotFoundError("no"),
        RuntimeError("shape"),
        UnboundLocalError("res"),
    ],
)
def test_other_errors_are_none_of_its_business(error: Exception):
    assert old_fastai.sentence(error) is None


@pytest.mark.parametrize(
    ("modules", "words"),
    [(["fastai.basic_train"], "exported by fastai 1"), (["fastcore.dispatch"], "exported by fastai 2.7")],
)
def test_fastais_own_load_learner(tmp_path: Path, modules: list[str], words: str):
    fastai = pytest.importorskip("fastai.learner")
    path = pickled(tmp_path / "export.pkl", *modules, legacy=True)
    legacy = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}."
    path.write_bytes(legacy + path.read_bytes()[len(b"\x80\x02N.") * 3 :])
    with pytest.raises(Exception) as caught:  # noqa: PT011 - fastai's choice
        fastai.load_learner(path)
    assert words in (old_fastai.sentence(caught.value) or "")
