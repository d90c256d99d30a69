"""Build the classifier: a pretrained body of torchvision or timm and fastai's head."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch
import torchvision
from fastai.vision.learner import (
    TimmBody,
    add_head,
    create_body,
    default_split,
    model_meta,
    num_features_model,
)
from torch import nn

from fastai_container.errors import UserError
from fastai_training.weights import find_weights, fit_to

IMAGENET_STATS = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
#: timm has two builds of this network; the packaged weights are those of the TensorFlow one (its padding differs).
ALIASES = {"efficientnet_lite0": "tf_efficientnet_lite0"}


class ArchError(UserError):
    """An architecture that doesn't exist."""


@dataclass(frozen=True)
class Architecture:
    """How to make an ImageNet classifier. ``stats``: mean and std per channel that its weights were trained with."""

    name: str
    names: tuple[str, ...]
    stats: tuple[tuple[float, ...], tuple[float, ...]]
    make: Callable[[], nn.Module]
    download: Callable[[], dict[str, Any]]
    library: str


@dataclass(frozen=True)
class Classifier:
    model: nn.Module
    splitter: Callable[[nn.Module], list[Any]]
    stats: tuple[tuple[float, ...], tuple[float, ...]]
    arch: str
    weights: str | None


def _torchvision(name: str) -> Architecture:
    def download() -> dict[str, Any]:
        weights = torchvision.models.get_model_weights(name).DEFAULT
        return dict(weights.get_state_dict(progress=False, check_hash=True))

    return Architecture(
        name, (name,), IMAGENET_STATS, lambda: torchvision.models.get_model(name, weights=None), download, "torchvision"
    )


def _timm(name: str, asked: str) -> Architecture:
    config = timm.get_pretrained_cfg(name)
    mean, std = (config.mean, config.std) if config is not None else IMAGENET_STATS

    def download() -> dict[str, Any]:
        return dict(timm.create_model(name, pretrained=True).state_dict())

    names = (name, asked) if asked != name else (name,)
    return Architecture(
        name, names, (tuple(mean), tuple(std)), lambda: timm.create_model(name, pretrained=False), download, "timm"
    )


def find_architecture(name: str) -> Architecture:
    """The architecture called ``name`` in torchvision or timm. Raises ArchError, naming the nearest ones."""
    torchvision_names = torchvision.models.list_models(module=torchvision.models)
    if name in torchvision_names:
        return _torchvision(name)
    timm_name = ALIASES.get(name, name)
    if timm.is_model(timm_name):
        return _timm(timm_name, name)
    near = difflib.get_close_matches(name, [*torchvision_names, *ALIASES, *timm.list_models()], n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else "use a name of torchvision.models or timm.list_models()"
    raise ArchError(f"there is no architecture {name!r}; {hint}")


def _with_head(architecture: Architecture, full: nn.Module, classes: int) -> tuple[nn.Module, Callable[..., Any]]:
    """fastai's head on the network's body, and how to split it for discriminative learning rates."""
    if architecture.library == "timm":
        full.reset_classifier(0)
        body = TimmBody(full)
        return add_head(body, full.num_features, classes, pool=body.needs_pool), default_split
    factory = getattr(torchvision.models, architecture.name)
    meta = model_meta.get(factory, {"cut": None, "split": default_split})
    body = create_body(full, cut=meta["cut"])
    return add_head(body, num_features_model(body), classes), meta["split"]


def build_classifier(arch: str, classes: int, *, pretrained: bool, weights_channel: Path | None) -> Classifier:
    """A classifier of ``classes`` outputs on (n, 3, size, size) batches.

    Raises ArchError or WeightsError.
    """
    architecture = find_architecture(arch)
    full = architecture.make()
    source = None
    if pretrained:
        weights = find_weights(architecture.names, weights_channel, architecture.download)
        full.load_state_dict(fit_to(weights.state, full, weights.source))
        source = weights.source
    try:
        model, splitter = _with_head(architecture, full, classes)
    except Exception as error:
        raise ArchError(
            f"{arch} can't be used: it gives no feature map to put fastai's head on ({error!r}); "
            "choose a convolutional network such as resnet34, convnext_tiny or efficientnet_lite0"
        ) from None
    return Classifier(model, splitter, architecture.stats, architecture.name, source)


class Program(nn.Module):
    """What serving runs: pictures as they are decoded in, probabilities out.

    Input: uint8 (n, size, size, 3), RGB. Output: float32 (n, classes), summing to 1.
    """

    def __init__(self, model: nn.Module, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("scale", (1 / (255 * torch.tensor(std))).view(1, 3, 1, 1))
        self.register_buffer("shift", (-torch.tensor(mean) / torch.tensor(std)).view(1, 3, 1, 1))

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        batch = pictures.permute(0, 3, 1, 2).float() * self.scale + self.shift
        return self.model(batch).softmax(dim=1)
