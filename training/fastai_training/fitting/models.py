"""Build the classifier: a pretrained body of torchvision or timm and fastai's head."""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch
import torchvision
from fastai.vision.learner import TimmBody, add_head, create_body, default_split, model_meta
from torch import nn
from torchvision.models.vision_transformer import interpolate_embeddings

from fastai_container.errors import UserError
from fastai_training.fitting.arch_names import ALIASES
from fastai_training.fitting.pretrained_weights import WeightsError, find_weights, fit_to

IMAGENET_STATS = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
#: torchvision's networks with auxiliary heads, which help nobody who starts from trained weights. Their ImageNet
#: weights take pictures of -1 to 1; torchvision's own forward, which is cut off here, converts to that.
AUXILIARY = {"googlenet": ("aux1.", "aux2."), "inception_v3": ("AuxLogits.",)}
HALVES = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
#: The side (pixels) of what torchvision's other networks were made for.
TORCHVISION_SIZE = 224


class ArchError(UserError):
    """An architecture that doesn't exist, or can't be used with pictures of this size."""


@dataclass(frozen=True)
class Architecture:
    """How to make an ImageNet classifier. ``stats``: mean and std per channel that its weights were trained with.

    ``size`` is the side (pixels) of the pictures that it was made for; ``make`` takes another, or None for that.
    ``resized`` fits weights for ``size`` to a network that was made for another. ``auxiliary``: how the names of
    tensors begin that weights have and the network is made without.
    """

    name: str
    names: tuple[str, ...]
    stats: tuple[tuple[float, ...], tuple[float, ...]]
    make: Callable[[int | None], nn.Module]
    download: Callable[[], dict[str, Any]]
    library: str
    size: int
    resized: Callable[[dict[str, Any], int], dict[str, Any]]
    auxiliary: tuple[str, ...] = ()


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

    def make(size: int | None) -> nn.Module:
        options: dict[str, Any] = {}
        if name in AUXILIARY:
            options = {"aux_logits": False, "init_weights": False}
        elif size is not None and name.startswith("vit_"):
            options = {"image_size": size}
        elif size is not None and name.startswith("maxvit_"):
            options = {"input_size": (size, size)}
        return torchvision.models.get_model(name, weights=None, **options)

    def resized(state: dict[str, Any], size: int) -> dict[str, Any]:
        if "conv_proj.weight" not in state:
            return state
        return dict(interpolate_embeddings(size, state["conv_proj.weight"].shape[-1], dict(state)))

    return Architecture(
        name,
        (name,),
        HALVES if name in AUXILIARY else IMAGENET_STATS,
        make,
        download,
        "torchvision",
        299 if name == "inception_v3" else TORCHVISION_SIZE,
        resized,
        AUXILIARY.get(name, ()),
    )


def _timm(name: str, asked: str) -> Architecture:
    config = timm.get_pretrained_cfg(name)
    mean, std = (config.mean, config.std) if config is not None else IMAGENET_STATS
    own = config.input_size[-1] if config is not None else TORCHVISION_SIZE

    def download() -> dict[str, Any]:
        return dict(timm.create_model(name, pretrained=True).state_dict())

    def make(size: int | None) -> nn.Module:
        if size not in (None, own) and config is not None and config.fixed_input_size:
            try:
                return timm.create_model(name, pretrained=False, img_size=size)
            except TypeError:
                pass  # made for one size alone, or for any: its first forward pass tells
        return timm.create_model(name, pretrained=False)

    def resized(state: dict[str, Any], size: int) -> dict[str, Any]:
        overlay = {"state_dict": state, "source": ""}
        model = timm.create_model(name, pretrained=True, img_size=size, pretrained_cfg_overlay=overlay)
        return dict(model.state_dict())

    names = (name, asked) if asked != name else (name,)
    return Architecture(name, names, (tuple(mean), tuple(std)), make, download, "timm", own, resized)


def find_architecture(name: str, *, exact: bool = False) -> Architecture:
    """The architecture called ``name`` in torchvision or timm; ``exact``: not the one that a user means by it.

    Raises ArchError, naming the nearest ones.
    """
    torchvision_names = torchvision.models.list_models(module=torchvision.models)
    if name in torchvision_names:
        return _torchvision(name)
    timm_name = name if exact else ALIASES.get(name, name)
    if timm.is_model(timm_name):
        return _timm(timm_name, name)
    near = difflib.get_close_matches(name, [*torchvision_names, *ALIASES, *timm.list_models()], n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else "use a name of torchvision.models or timm.list_models()"
    raise ArchError(f"there is no architecture {name!r}; {hint}")


def _features(body: nn.Module, size: int) -> torch.Tensor:
    """What ``body`` gives for one picture of ``size`` pixels a side."""
    with torch.no_grad():
        features = body.eval()(torch.zeros(1, 3, size, size))
    if not isinstance(features, torch.Tensor):
        raise TypeError(f"its features are a {type(features).__name__}, not a tensor")
    return features


def _timm_body(full: nn.Module, size: int) -> tuple[nn.Module, torch.Tensor]:
    full.reset_classifier(0)
    body = TimmBody(full)
    features = _features(body, size)
    if body.needs_pool and (features.dim() != 4 or features.shape[1] != full.num_features):
        # No map with channels first, as of transformers: these pool for themselves.
        body.needs_pool = False
        features = _features(body, size)
    return body, features


def _torchvision_body(name: str, full: nn.Module, size: int) -> tuple[nn.Module, torch.Tensor]:
    meta = model_meta.get(getattr(torchvision.models, name), {"cut": None})
    # Where no layer pools, a function does it before the last child.
    for cut in (meta["cut"], -1):
        with contextlib.suppress(Exception):
            body = create_body(full, cut=cut)
            return body, _features(body, size)
    # No sequence of its children, as transformers are; if it is something else, this says what.
    last = list(full.named_children())[-1][0]
    setattr(full, last, nn.Identity())
    return full, _features(full, size)


def _body(architecture: Architecture, full: nn.Module, size: int) -> tuple[nn.Module, int, bool]:
    """The network without its classifier, how many features it gives, and whether they are a map to be pooled.

    Raises whatever the network does for pictures of ``size`` pixels a side.
    """
    if architecture.library == "timm":
        body, features = _timm_body(full, size)
    else:
        body, features = _torchvision_body(architecture.name, full, size)
    if features.dim() not in (2, 4):
        raise TypeError(f"its features have the shape {tuple(features.shape[1:])}, neither a map nor a vector")
    return body, features.shape[1], features.dim() == 4


def _refusal(arch: str, architecture: Architecture, size: int, error: Exception) -> ArchError:
    """Why ``arch`` can't be used with pictures of ``size`` pixels, and what to set."""
    reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
    if size != architecture.size:
        try:
            _body(architecture, architecture.make(None), architecture.size)
        except Exception:  # whatever a network raises: then its size is not what is wrong
            size = architecture.size
    if size != architecture.size:
        return ArchError(
            f"{arch} can't be used with image_size={size} ({reason}); set image_size={architecture.size}, which it was "
            "made for, or choose another network, such as resnet34, which takes any size"
        )
    return ArchError(
        f"{arch} can't be used: it gives no features to put fastai's head on ({reason}); choose another network, such "
        "as resnet34, convnext_tiny or efficientnet_lite0"
    )


def _load(architecture: Architecture, full: nn.Module, size: int, channel: Path | None) -> str:
    """Load pretrained weights into ``full``, made for ``size``; returns where they were found. Raises WeightsError."""
    weights = find_weights(architecture.names, channel, architecture.download)
    state = {name: value for name, value in weights.state.items() if not name.startswith(architecture.auxiliary)}
    try:
        fitting = fit_to(state, full, weights.source)
    except WeightsError:
        if size == architecture.size:
            raise
        # Position embeddings and the like have the size of the picture.
        native = fit_to(state, architecture.make(None), weights.source)
        fitting = fit_to(architecture.resized(native, size), full, weights.source)
    full.load_state_dict(fitting)
    return weights.source


def build_classifier(
    arch: str,
    classes: int,
    *,
    pretrained: bool,
    weights_channel: Path | None,
    image_size: int | None = None,
    exact: bool = False,
) -> Classifier:
    """A classifier of ``classes`` outputs on (n, 3, image_size, image_size) batches; None: the network's own size.

    ``exact``: ``arch`` is the name that a manifest has. Raises ArchError or WeightsError.
    """
    architecture = find_architecture(arch, exact=exact)
    size = image_size or architecture.size
    try:
        full = architecture.make(size)
        source = _load(architecture, full, size, weights_channel) if pretrained else None
        body, count, is_map = _body(architecture, full, size)
    except (UserError, MemoryError):
        raise
    except Exception as error:  # AssertionErrors, RuntimeErrors and others of two libraries' networks
        if "allocate memory" in str(error):
            raise
        raise _refusal(arch, architecture, size, error) from None
    model = add_head(body, count, classes, pool=is_map)
    return Classifier(model, _splitter(architecture), architecture.stats, architecture.name, source)


def check_sizes(classifier: Classifier, sizes: Iterable[int]) -> None:
    """Raises ArchError when the network can't take pictures of one of these ``sizes`` (pixels a side) as well."""
    network = classifier.model.eval()
    for size in sorted(set(sizes)):
        try:
            with torch.no_grad():
                network(torch.zeros(1, 3, size, size))
        except Exception as error:  # whatever a network raises
            reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
            raise ArchError(
                f"progressive_resizing: {classifier.arch} can't take pictures of {size} pixels ({reason}); leave "
                "progressive_resizing out, or choose a network that takes any size, such as resnet34"
            ) from None
    network.train()


def _splitter(architecture: Architecture) -> Callable[[nn.Module], list[Any]]:
    """How the network is split for discriminative learning rates."""
    if architecture.library == "timm":
        return default_split
    split: Callable[[nn.Module], list[Any]] = model_meta.get(
        getattr(torchvision.models, architecture.name), {"split": default_split}
    )["split"]
    return split


class ServingModule(nn.Module):
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
