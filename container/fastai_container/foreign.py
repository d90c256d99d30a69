"""Model folders that this project's training did not make: what they hold, and what can be done with it.

Nothing is ever unpickled to find out: a learner is code, and only its owner's script may run it.
"""

from __future__ import annotations

import importlib.util
import zipfile
from pathlib import Path

_SCRIPT = "a script in its code/ folder (code/inference.py with model_fn)"
_TRAINING = "the training image (fastai-sagemaker-training)"
#: Files of other frameworks by the ends of their names, and what they are.
_OTHERS = (
    ((".safetensors",), "weights alone"),
    ((".onnx",), "an ONNX model"),
    ((".pb", ".h5", ".keras", ".tflite"), "a TensorFlow model"),
    ((".joblib", ".sav"), "a scikit-learn model"),
    ((".bst", ".xgb", ".ubj"), "an XGBoost model"),
    ((".ckpt",), "a checkpoint of PyTorch Lightning"),
    ((".xml",), "an OpenVINO model"),
)
_TORCH = (".pt", ".pth", ".bin")


def _files(folder: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in folder.iterdir())
    except OSError:
        return []


def torchscript(folder: Path) -> Path | None:
    """The TorchScript file of a folder: model.pt, or the only .pt or .pth that is one; None where there is none.

    sagemaker-pytorch-inference loads such a program by itself.
    """
    names = [name for name in _files(folder) if name.endswith((".pt", ".pth"))]
    found = [folder / name for name in names if _is_torchscript(folder / name)]
    preferred = [path for path in found if path.name == "model.pt"]
    return preferred[0] if preferred else found[0] if len(found) == 1 else None


def _is_torchscript(path: Path) -> bool:
    """Whether it is an archive with TorchScript's code; torch.save's archives have data alone."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError):
        return False
    return any(name.endswith("/constants.pkl") for name in names) and any("/code/" in name for name in names)


def _has_fastai() -> bool:
    return importlib.util.find_spec("fastai") is not None


def _of_learner(name: str) -> str:
    where = "" if _has_fastai() else f" served with {_TRAINING},"
    return (
        f"{name} is a learner exported by fastai, which is code: it is never opened without a script of yours. There "
        f"are two ways: put {_SCRIPT} beside it whose model_fn calls load_learner,{where} or train the model with "
        "this project, whose model.tar.gz needs no script"
    )


def _of_torch(name: str, scripted: bool) -> str:
    if scripted:
        return (
            f"{name} is a TorchScript file: serve it with {_TRAINING}, which loads it by itself, or in any image "
            f"with {_SCRIPT}"
        )
    where = "" if _has_fastai() else f", served with {_TRAINING}"
    return f"{name} holds PyTorch's weights or a pickled model: give {_SCRIPT} that loads it{where}"


def explain(folder: Path) -> str | None:
    """What a model folder without model.json is, and what to do; None where nothing in it is known."""
    names = _files(folder)
    code = _files(folder / "code")
    scripts = [name for name in names if name.endswith(".py")]
    if scripts:
        shown = "inference.py" if "inference.py" in scripts else scripts[0]
        return (
            f"{shown} lies beside code/, not in it: put scripts into the folder code/ of the model (code/inference.py)"
        )
    others = [name for name in code if name.endswith(".py")]
    if others:
        return (
            f"nothing names code/{others[0]}: call it code/inference.py, or set the environment variable "
            f"SAGEMAKER_PROGRAM={others[0]}"
        )
    archives = [name for name in names if name.endswith((".tar.gz", ".tgz", ".zip", ".tar"))]
    if archives:
        return f"{archives[0]} is packed: unpack it there"
    pickles = [name for name in names if name.endswith((".pkl", ".pickle"))]
    learners = [name for name in ("export.pkl", "model.pkl") if name in pickles] or pickles
    if learners:
        return _of_learner(learners[0])
    torch = [name for name in names if name.endswith(_TORCH)]
    if torch:
        program = torchscript(folder)
        return _of_torch(program.name if program else torch[0], program is not None)
    if "saved_model.pb" in names or any((folder / name / "saved_model.pb").is_file() for name in names):
        return f"it holds a TensorFlow model: give {_SCRIPT} that loads it"
    for endings, what in _OTHERS:
        for name in names:
            if name.endswith(endings):
                return f"{name} is {what}, which is not served by itself: give {_SCRIPT} that loads it"
    folders = [name for name in names if (folder / name / "model.json").is_file()]
    if folders:
        return f"the model is in its folder {folders[0]}: mount that one"
    return None
