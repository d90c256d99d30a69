"""The network of the model that a job goes on from: its body and its head's rows put into the new one, both scored."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from fastai_container.model_folder import ModelManifest
from fastai_training.console import Log
from fastai_training.data.labels import Example
from fastai_training.data.loaders import build_loaders
from fastai_training.fitting.models import ArchError, Classifier, build_classifier
from fastai_training.fitting.parent_model import CHANNEL, Parent, ParentError, names_of
from fastai_training.fitting.pretrained_weights import WeightsError, read_weights
from fastai_training.fitting.recipe import mistakes, predict
from fastai_training.hyperparameters import HyperParameterError, HyperParameters
from fastai_training.world import Processes


@dataclass(frozen=True)
class ParentNetwork:
    """A parent's network with its weights; its files are not needed any more."""

    manifest: ModelManifest
    digest: str
    network: nn.Module

    @property
    def source(self) -> str:
        """Where the new network's weights are from; tells one parent from another."""
        return f"{CHANNEL} (model.json SHA-256 {self.digest})"


def load_parent(parent: Parent) -> ParentNetwork:
    """Build ``parent``'s network and load its weights. Raises ParentError when they don't fit its architecture."""
    manifest = parent.manifest
    try:
        network = build_classifier(
            manifest.arch,
            len(manifest.vocab),
            pretrained=False,
            weights_channel=None,
            image_size=manifest.image_size,
            exact=True,
        ).model
        state = read_weights(parent.weights)
    except (ArchError, WeightsError) as error:
        raise ParentError(f"the model in {CHANNEL} can't be gone on from: {error}") from None
    wrong = _misfit(state, network.state_dict())
    if wrong:
        raise ParentError(
            f"the model in {CHANNEL} can't be gone on from: its weights are not those of a {manifest.arch} with "
            f"fastai's own head for {len(manifest.vocab)} classes ({wrong}); go on from one that this trainer, "
            "vision_learner or fastai_sagemaker.build_learner made, without a custom head"
        )
    network.load_state_dict(state)
    return ParentNetwork(manifest, parent.digest, network)


def _misfit(state: dict[str, Any], wanted: dict[str, Any]) -> str | None:
    """The first tensor that ``state`` lacks, has too many or has in another shape."""
    for name, value in wanted.items():
        if name not in state:
            return f"{name} is missing"
        if state[name].shape != value.shape:
            return f"{name} is {tuple(state[name].shape)}, not {tuple(value.shape)}"
    return next((f"{name} is unknown" for name in state if name not in wanted), None)


@dataclass(frozen=True)
class Descent:
    """A new network made of a parent's: ``kept``, ``new`` and ``dropped`` are classes, in the order of a vocabulary."""

    parent: ParentNetwork
    classifier: Classifier
    vocab: list[str]
    kept: list[str]
    new: list[str]
    dropped: list[str]
    head_kept: bool

    def score_parent(
        self,
        train: list[Example],
        valid: list[Example],
        parameters: HyperParameters,
        device: torch.device,
        workers: int,
        processes: Processes,
        say: Log,
    ) -> float | None:
        """The parent's share of mistakes on the pictures of ``valid`` whose classes it knows; None where there is none.

        Pictures have the size that it was trained at. Its network is given up after that.
        """
        known, manifest = self._known(valid), self.parent.manifest
        error = None
        if known:
            # A loader of its own: pictures of its size, which are not wanted again.
            at_its_size = dataclasses.replace(parameters, image_size=manifest.image_size, cache_mb=0)
            stats = self.classifier.stats
            loaders = build_loaders(train, known, manifest.vocab, at_its_size, stats, device, workers, processes)
            answers = predict(self.parent.network.to(device), loaders.valid, processes)
            error = mistakes(answers, known, manifest.vocab)
            say(_scored(error, known))
        else:
            say("parent: the validation split has no picture of a class that it knows, so there is no error to compare")
        self.parent.network.to("meta")  # gives its memory back
        return error

    def lineage(
        self, before: float | None, probabilities: torch.Tensor, valid: list[Example], say: Log
    ) -> dict[str, Any]:
        """What the new model's manifest says of its parent, whose error was ``before``.

        ``probabilities`` are the new network's for ``valid``.
        """
        known, scores = self._known(valid), {}
        if before is not None:
            places = [place for place, item in enumerate(valid) if item.label in set(self.kept)]
            now = mistakes(probabilities[places], known, self.vocab)
            say(f"{_scored(before, known)}; now error_rate={now:.4f}")
            scores = {"pictures": len(known), "parent_error_rate": before, "error_rate": now}
        manifest = self.parent.manifest
        return {
            "parent": {
                "model_json_sha256": self.parent.digest,
                "created": manifest.created,
                "classes": len(manifest.vocab),
                "image_size": manifest.image_size,
            },
            "head": "kept" if self.head_kept else "new",
            "classes": {"in_common": len(self.kept), "new": self.new, "dropped": self.dropped},
            "on_classes_in_common": scores,
        }

    def _known(self, items: list[Example]) -> list[Example]:
        """Those of classes that the parent knows, in their order."""
        classes = set(self.kept)
        return [item for item in items if item.label in classes]


def _scored(error: float, known: list[Example]) -> str:
    classes = len({item.label for item in known})
    return f"parent error_rate={error:.4f} on {len(known)} pictures of {classes} classes it knows"


def descend(parent: ParentNetwork, vocab: list[str], parameters: HyperParameters, say: Log) -> Descent:
    """A network for ``vocab`` with ``parent``'s body, and its head as the hyperparameter ``head`` says.

    A kept head is the parent's with the last layer's rows of the classes in common; those of new classes are as in a
    new head. Raises HyperParameterError where ``head=keep`` finds no class in common, ParentError for an image_size
    that the parent's weights don't fit.
    """
    manifest = parent.manifest
    before, now = set(manifest.vocab), set(vocab)
    kept, new = [name for name in vocab if name in before], [name for name in vocab if name not in before]
    dropped = [name for name in manifest.vocab if name not in now]
    if parameters.head == "keep" and not kept:
        raise HyperParameterError(
            f"head=keep, but none of the {len(vocab)} classes of the data ({names_of(vocab)}) is one of the "
            f"{len(manifest.vocab)} of the model in {CHANNEL} ({names_of(manifest.vocab)}); name the classes alike, or "
            "set head=new"
        )
    made = build_classifier(
        manifest.arch,
        len(vocab),
        pretrained=False,
        weights_channel=None,
        image_size=parameters.image_size,
        exact=True,
    )
    head_kept = bool(kept) and parameters.head != "new"
    _inherit(made.model, vocab, parent, head_kept, parameters.image_size)
    classifier = dataclasses.replace(
        made, stats=(tuple(manifest.mean), tuple(manifest.std)), weights=parent.source, arch=manifest.arch
    )
    descent = Descent(parent, classifier, vocab, kept, new, dropped, head_kept)
    _tell(descent, say)
    return descent


def _inherit(network: nn.Module, vocab: list[str], parent: ParentNetwork, head_kept: bool, size: int) -> None:
    """Put the parent's weights into ``network``."""
    old, state = parent.network.state_dict(), network.state_dict()
    last = _last_layer(network)
    rows = {name: row for row, name in enumerate(parent.manifest.vocab)}
    pairs = [(row, rows[name]) for row, name in enumerate(vocab) if name in rows]
    for name, value in state.items():
        if name.startswith("1.") and not head_kept:
            continue
        if name.rpartition(".")[0] == last:
            for row, before in pairs:
                value[row] = old[name][before]
        elif name in old and old[name].shape == value.shape:
            state[name] = old[name]
        else:
            manifest = parent.manifest
            raise ParentError(
                f"the model in {CHANNEL} is a {manifest.arch} made for image_size={manifest.image_size}, its weights "
                f"don't fit image_size={size} ({name}); leave image_size out"
            )
    network.load_state_dict(state)


def _last_layer(network: nn.Module) -> str:
    """The name of the layer that has a row for each class: fastai's head ends with it."""
    return [name for name, layer in network.named_modules() if isinstance(layer, nn.Linear)][-1]


def _tell(descent: Descent, say: Log) -> None:
    manifest = descent.parent.manifest
    head = f"head kept for {len(descent.kept)} classes" if descent.head_kept else "a new head"
    new = f"{len(descent.new)} new" + (f" ({names_of(descent.new)})" if descent.new else "")
    gone = f"{len(descent.dropped)} dropped" + (f" ({names_of(descent.dropped)})" if descent.dropped else "")
    say(
        f"going on from {descent.parent.source}: {manifest.arch} of {len(manifest.vocab)} classes, body reused, "
        f"{head}, {new}, {gone}"
    )
