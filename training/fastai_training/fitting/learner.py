"""A fastai learner for transfer learning, its pretrained weights found as the built-in trainer finds them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fastai.vision.all import CrossEntropyLossFlat, DataLoaders, Learner, Normalize, Resize

from fastai_container.errors import UserError
from fastai_training.data.loaders import worker_count
from fastai_training.fitting.models import build_classifier
from fastai_training.hyperparameters import HyperParameters


def make_learner(
    dls: DataLoaders, arch: str, pretrained: bool, weights: Path | None, options: dict[str, Any]
) -> Learner:
    """A learner of ``arch`` on ``dls``; arguments and errors are those of ``fastai_sagemaker.build_learner``."""
    sizes = [transform.size for transform in dls.valid.after_item.fs if isinstance(transform, Resize)]
    if not sizes:
        raise UserError("the loaders' pictures have no size of their own: use item_tfms=Resize(SIZE)")
    network = build_classifier(
        arch, len(dls.vocab), pretrained=pretrained, weights_channel=weights, image_size=int(sizes[-1][0])
    )
    if not any(isinstance(transform, Normalize) for transform in dls.valid.after_batch.fs):
        dls.add_tfms([Normalize.from_stats(*network.stats)], "after_batch")
    learner = Learner(
        dls, network.model, **({"loss_func": CrossEntropyLossFlat(), "splitter": network.splitter} | options)
    )
    learner.arch = network.arch
    if pretrained:
        learner.freeze()
    return learner


def count_workers(batch_size: int, image_size: int | Sequence[int]) -> int:
    """Loader workers that /dev/shm has room for; prints why when they are fewer than cores."""
    side = image_size if isinstance(image_size, int) else max(image_size)
    workers, why = worker_count(HyperParameters(batch_size=batch_size, image_size=side))
    if why:
        print(why, flush=True)
    return workers
