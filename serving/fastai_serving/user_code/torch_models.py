"""What a script's model_fn may return and is then run as its own toolkit would: fastai's learners, torch's modules.

torch and fastai are never imported here: a script that returns such an object has done so. A model folder that holds
a TorchScript file alone is the exception.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from fastai_container.errors import ModelFolderError
from fastai_container.foreign import torchscript
from fastai_container.model_folder import MANIFEST
from fastai_serving.errors import ErrorCode
from fastai_serving.response_formats import prediction
from fastai_serving.responses import RequestError
from fastai_serving.user_code.hints import is_installed
from fastai_serving.user_code.script_responses import plain


def is_learner(model: Any) -> bool:
    """Whether ``model`` is a Learner of fastai."""
    return any(
        kind.__name__ == "Learner" and kind.__module__.partition(".")[0] == "fastai" for kind in type(model).__mro__
    )


def is_module(model: Any) -> bool:
    """Whether ``model`` is a torch.nn.Module, a TorchScript file among them."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(model, torch.nn.Module)


def fastai_picture(image: Any) -> Any:
    """A PIL image as fastai's own kind of one, where the script has imported fastai's."""
    core = sys.modules.get("fastai.vision.core")
    return image if core is None else core.PILImage.create(image)


def runs_torchscript(folder: Path) -> bool:
    """Whether the folder has no model of ours but a TorchScript file, and torch is here to run it."""
    return not (folder / MANIFEST).exists() and is_installed("torch") and torchscript(folder) is not None


def load_torchscript(folder: Path) -> Any:
    """The TorchScript file of ``folder``. Raises ModelFolderError."""
    import torch

    path = torchscript(folder)
    try:
        return torch.jit.load(str(path), map_location="cpu")
    except Exception as error:  # RuntimeError above all, of many lines
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:300]
        raise ModelFolderError(f"{path} can't be loaded as TorchScript: {reason}") from None


class TorchModule:
    """A module run as sagemaker-pytorch-inference runs one without predict_fn: in evaluation, without gradients."""

    def __init__(self, module: Any, gpu: int | None) -> None:
        self.torch: Any = sys.modules["torch"]
        cuda = self.torch.cuda.is_available()
        self.device = self.torch.device(f"cuda:{gpu or 0}" if cuda else "cpu")
        self.module = module.to(self.device)
        self.module.eval()

    def __call__(self, data: Any) -> Any:
        """The module's output for ``data``: arrays become tensors, tensors go to the module's device."""
        with self.torch.no_grad():
            return self.module(self._moved(data))

    def _moved(self, data: Any) -> Any:
        if isinstance(data, self.torch.Tensor):
            return data.to(self.device)
        if isinstance(data, dict):
            return {name: self._moved(value) for name, value in data.items()}
        if type(data) in (list, tuple):
            return type(data)(self._moved(value) for value in data)
        return data

    def tensor(self, data: Any, *, text: bool) -> Any:
        """A decoded body as a tensor: float32 where it came as ``text``, else of its own type.

        Raises RequestError 400 for what can't be one.
        """
        try:
            array = np.asarray(data, dtype=np.float32) if text else np.asarray(data)
            array = array.astype(array.dtype.newbyteorder("="), copy=False)
            return self.torch.from_numpy(np.ascontiguousarray(array))
        except (TypeError, ValueError) as error:
            raise RequestError(ErrorCode.BAD_ARRAY, f"the body is no array of numbers: {error}") from None


def predict_with_learner(learner: Any, picture: Any) -> tuple[Any, Any, Any]:
    """fastai's own predict for one picture: what it decodes, the prediction and the probabilities."""
    with learner.no_bar(), learner.no_logging():
        decoded, index, probabilities = learner.predict(picture)
    return decoded, index, probabilities


def learner_content(
    learner: Any, result: tuple[Any, Any, Any], top_k: Callable[[int], int]
) -> tuple[dict[str, Any], bool]:
    """Say what fastai's predict gave, and whether that is one label among several.

    One label is said as the built-in model says it (``response_formats.prediction``); of several labels "classes" are
    those that hold, with the confidence of all; of anything else "prediction" is the value. ``top_k`` says how many of
    so many classes the client wants, and raises RequestError 400 where it said something else.
    """
    decoded, index, probabilities = result
    vocab = [str(name) for name in _vocab(learner)]
    row = np.asarray(plain(probabilities)) if hasattr(probabilities, "tolist") else np.empty((0, 0))
    if not vocab or row.shape != (len(vocab),):
        value = decoded if _is_plain(decoded) else index
        return {"prediction": value}, False
    several = np.asarray(plain(index)).shape == row.shape
    content = prediction(row, vocab, top_k(len(vocab)))
    if several:
        held = [vocab[place] for place in np.flatnonzero(np.asarray(plain(index)))]
        return {"classes": held, "predictions": content["predictions"]}, False
    return content, True


def _vocab(learner: Any) -> list[Any]:
    """The classes of a learner's one target; empty when it has none, or several targets."""
    try:
        vocab = list(learner.dls.vocab)
    except Exception:  # a DataLoaders without one raises fastcore's own AttributeErrors
        return []
    return [] if any(isinstance(entry, list | tuple) or hasattr(entry, "o2i") for entry in vocab) else vocab


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float | dict | list | tuple) or hasattr(value, "tolist")
