"""Whether a script's learner is what a model folder can hold: a classifier that gives a picture one class, by softmax.

Version 1 of the folder has no place for anything else, and whatever is put into it is served by softmax over the
centre of the picture. So a learner that answers or looks otherwise is refused, before anything is written.
"""

from __future__ import annotations

import dataclasses
import gc
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fastai.vision.all import (
    BCEWithLogitsLossFlat,
    CropPad,
    EncodedMultiCategorize,
    Learner,
    MultiCategorize,
    RandomCrop,
    RandomResizedCrop,
    RatioResize,
    RegressionSetup,
    Resize,
    ResizeMethod,
)
from fastai.vision.core import AddMaskCodes, PointScaler
from PIL import Image
from torch import nn

from fastai_container.errors import ExportError
from fastai_container.model_folder import ModelManifest
from fastai_container.pictures import PictureError, model_input
from fastai_training.data.labels import Example
from fastai_training.quoting import shown, utf8

#: Pictures that are compared as the learner sees them and as serving will.
COMPARED = 8
#: They may differ by so much on average, where black is 0 and white is 1: other decoders and resizers do by 0.02.
MOST_DIFFERENT = 0.06
INSTEAD = (
    "a model folder holds classifiers that give each picture one class. Train with one label a picture "
    "(CategoryBlock), or keep learn.export() and serve it by a script of your own in the training image"
)
#: Losses of other tasks, by torch's names for them.
_OTHER_LOSSES = (
    nn.BCELoss,
    nn.BCEWithLogitsLoss,
    nn.MSELoss,
    nn.L1Loss,
    nn.SmoothL1Loss,
    nn.HuberLoss,
    nn.MultiLabelMarginLoss,
    nn.MultiLabelSoftMarginLoss,
)


def learner_of(model: nn.Module) -> Learner | None:
    """The learner whose network ``model`` is, where a script passes the network alone; None for plain torch's."""
    learners = (found for found in gc.get_objects() if issubclass(type(found), Learner))
    return next((learner for learner in learners if getattr(learner, "model", None) is model), None)


def _transforms(pipeline: Any) -> list[Any]:
    return list(getattr(pipeline, "fs", None) or [])


def _check_target(learner: Learner) -> None:
    """What the data's labels are, by the transforms that make them."""
    lists = getattr(learner.dls.train_ds, "tls", None) or []
    makers = [transform for part in list(lists)[1:] for transform in _transforms(part.tfms)]
    makers += _transforms(learner.dls.train.after_item)
    kinds = (
        ((MultiCategorize, EncodedMultiCategorize), "several labels a picture (MultiCategoryBlock)"),
        (RegressionSetup, "numbers (RegressionBlock)"),
        (PointScaler, "points (PointBlock)"),
        (AddMaskCodes, "masks (MaskBlock)"),
    )
    for kind, name in kinds:
        if any(isinstance(maker, kind) for maker in makers):
            raise ExportError(f"this learner's targets are {name}: {INSTEAD}")


def _check_loss(learner: Learner) -> None:
    """Whether the loss is one of softmax, as far as it says."""
    loss = learner.loss_func
    inner = getattr(loss, "func", loss)
    name = type(inner).__name__
    if isinstance(loss, BCEWithLogitsLossFlat) or isinstance(inner, _OTHER_LOSSES):
        raise ExportError(f"this learner's loss is {name}, which is no choice of one class: {INSTEAD}")
    if callable(getattr(loss, "activation", None)):
        scores = torch.tensor([[0.0, 1.0, 3.0]])
        try:
            answered = loss.activation(scores)
        except Exception:  # a user's own code: the data's labels have said that this is a classifier
            return
        if not isinstance(answered, torch.Tensor) or not torch.allclose(answered, scores.softmax(1), atol=1e-4):
            raise ExportError(f"this learner's loss, {name}, is not one of softmax, as serving is: {INSTEAD}")


def _check_resize(learner: Learner) -> None:
    """Whether validation pictures are resized as serving does it: the largest centred square, bilinear."""
    use = "serving takes the largest square in the middle and resizes it: use item_tfms=Resize(SIZE)"
    for transform in _transforms(learner.dls.valid.after_item):
        if isinstance(transform, Resize):
            if transform.method != ResizeMethod.Crop:
                raise ExportError(f"this learner resizes by Resize(method={transform.method!r}); {use}")
            if len(set(transform.size)) != 1:
                raise ExportError(f"this learner's pictures are {tuple(transform.size)}, which is no square; {use}")
            if transform.mode != Image.Resampling.BILINEAR:
                raise ExportError(f"this learner resizes with resamples={transform.resamples}; {use}, bilinear")
        elif isinstance(transform, CropPad | RandomCrop | RandomResizedCrop | RatioResize):
            raise ExportError(f"this learner resizes by {type(transform).__name__}; {use}")


def check_learner(learner: Learner) -> None:
    """Raises ExportError, saying what to change, when ``learner`` can't be served from a model folder.

    Call it before training: it needs no trained network.
    """
    _check_target(learner)
    _check_loss(learner)
    _check_resize(learner)


def text_vocabulary(vocab: Sequence[Any]) -> list[str]:
    """The classes as text, which is what model.json and an answer hold. Raises ExportError."""
    if any(isinstance(name, list | tuple | dict | set) for name in vocab):
        raise ExportError(f"a class of the vocabulary is no single name: {INSTEAD}")
    names = [utf8(str(name)) for name in vocab]
    if len(names) < 2:
        raise ExportError(f"the vocabulary has {len(names)} classes; a classifier needs two: {INSTEAD}")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ExportError(f"the vocabulary has {shown(twice[0])} twice, as text; give each class a name of its own")
    return names


def text_labels(items: Sequence[Example], names: Sequence[str]) -> list[Example]:
    """The examples with their labels as text. Raises ExportError for one that is no class of ``names``."""
    known = set(names)
    made = []
    for item in items:
        label = utf8(str(item.label))
        if isinstance(item.label, list | tuple | set | np.ndarray | torch.Tensor):
            raise ExportError(f"{shown(item.path)} has several labels: {INSTEAD}")
        if label not in known:
            raise ExportError(f"{shown(item.path)} has the label {shown(label)}, which is no class of the vocabulary")
        made.append(Example(Path(item.path), label))
    return made


def _check_details(details: ModelManifest) -> None:
    numbers = [*details.mean, *details.std]
    if isinstance(details.image_size, bool) or not isinstance(details.image_size, int) or details.image_size < 1:
        raise ExportError(f"image_size is {details.image_size!r}; it is the side in pixels of what the network takes")
    if len(details.mean) != 3 or len(details.std) != 3 or not all(math.isfinite(float(n)) for n in numbers):
        raise ExportError("mean and std are three numbers each, for red, green and blue")
    if min(map(float, details.std)) <= 0:
        raise ExportError("std must be above 0")
    if (details.resize, details.interpolation) != (ModelManifest.resize, ModelManifest.interpolation):
        raise ExportError(
            f"resize={details.resize!r}, interpolation={details.interpolation!r}: serving knows "
            f"{ModelManifest.resize} and {ModelManifest.interpolation} alone"
        )


def check_outputs(model: nn.Module, details: ModelManifest) -> None:
    """Whether ``model`` gives a number for each class. Raises ExportError."""
    size = details.image_size
    try:
        with torch.no_grad():
            answer = model(torch.zeros(2, 3, size, size))
    except Exception as error:  # whatever a network raises
        text = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise ExportError(f"the network can't take pictures of {size} pixels: {text}; check image_size") from None
    if not isinstance(answer, torch.Tensor):
        raise ExportError(f"the network answers with a {type(answer).__name__}, not a tensor: {INSTEAD}")
    if answer.dim() != 2:
        raise ExportError(f"the network answers with {tuple(answer.shape[1:])} numbers a picture: {INSTEAD}")
    if answer.shape[1] != len(details.vocab):
        raise ExportError(
            f"the network answers with {answer.shape[1]} numbers a picture, and the vocabulary has "
            f"{len(details.vocab)} classes: {INSTEAD}"
        )


def check_pictures(learner: Learner, details: ModelManifest, items: Sequence[Example]) -> None:
    """Whether the learner sees a picture as serving will: cropped, resized and normalized alike. Raises ExportError."""
    paths = [item.path for item in items[:COMPARED]]
    try:
        pictures = np.stack([model_input(path, details.image_size) for path in paths])
        loader = learner.dls.test_dl(paths, bs=len(paths), num_workers=0)
        seen = loader.one_batch()[0].detach().cpu().as_subclass(torch.Tensor).float()
    except (PictureError, ValueError, TypeError, AttributeError, KeyError, IndexError, RuntimeError, OSError) as error:
        # A user's own data classes.
        print(f"how this learner prepares pictures could not be compared with serving ({shown(error)})", flush=True)
        return
    expected = (torch.from_numpy(pictures).permute(0, 3, 1, 2) / 255).float()
    if seen.shape != expected.shape:
        raise ExportError(
            f"this learner's pictures have the shape {tuple(seen.shape[1:])}, image_size says {details.image_size}"
        )
    mean, std = (torch.tensor(values).float().view(1, 3, 1, 1) for values in (details.mean, details.std))
    difference = float((seen * std + mean - expected).abs().mean())
    if difference > MOST_DIFFERENT:
        raise ExportError(
            f"this learner sees pictures otherwise than serving will (by {difference:.2f} of the range from black to "
            "white on average): use item_tfms=Resize(SIZE) and batch_tfms=Normalize.from_stats(mean, std) with the "
            "image_size, mean and std that are written"
        )


def checked(
    network: nn.Module | Learner, details: ModelManifest, train: Sequence[Example], valid: Sequence[Example]
) -> tuple[nn.Module, ModelManifest, list[Example], list[Example]]:
    """The network and what is written with it, classes and labels as text. Raises ExportError for what can't be."""
    learner = network if isinstance(network, Learner) else learner_of(network)
    model: nn.Module = network.model if isinstance(network, Learner) else network
    if learner is not None:
        check_learner(learner)
    else:
        print("taken for a classifier that gives each picture one class: there is no learner to ask", flush=True)
    _check_details(details)
    if not train or not valid:
        raise ExportError("there are no pictures to measure the model with: pass those of both sides of the split")
    details = dataclasses.replace(details, vocab=text_vocabulary(details.vocab))
    train, valid = text_labels(train, details.vocab), text_labels(valid, details.vocab)
    model = model.cpu().float().eval()
    check_outputs(model, details)
    if learner is not None:
        check_pictures(learner, details, valid)
    return model, details, train, valid
