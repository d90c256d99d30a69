"""What a training script calls: build a learner, count its loader's workers, write it as a model folder."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastai_container.errors import TrainingNeededError
from fastai_container.model_folder import ModelManifest

if TYPE_CHECKING:
    from fastai.learner import Learner
    from fastai.vision.all import DataLoaders


def _need_training(call: str) -> None:
    """Raises TrainingNeededError where fastai or our training package is not installed."""
    lacking = [name for name in ("fastai_training", "fastai", "torch") if importlib.util.find_spec(name) is None]
    if lacking:
        names = " and ".join(filter(None, (", ".join(lacking[:-1]), lacking[-1])))
        raise TrainingNeededError(
            f"{call} needs {names}, which this environment lacks: call it in the training image, or "
            "pip install 'fastai-sagemaker[training]'"
        )


def check_learner(learner: Learner) -> None:
    """Raises ExportError, as ``export_model`` would, for a learner that a model folder can't hold.

    It needs no trained network, so a script can ask before hours of training. Raises TrainingNeededError where fastai
    isn't installed.
    """
    _need_training("check_learner")
    from fastai_training.exporting import servable

    servable.check_learner(learner)


def export_model(
    learner: Learner,
    folder: str | Path,
    *,
    samples: Iterable[tuple[str | Path, str]] | None = None,
    serving_precision: str = "auto",
    metrics: Mapping[str, float] | None = None,
) -> ModelManifest:
    """Write ``learner`` as a model folder, which the serving image serves; return its manifest.

    ``learner`` is a fastai learner that classifies pictures, one label each: vocabulary, picture size, mean and
    standard deviation, architecture, metrics and the pictures of both sides of its split are taken from it.

    ``samples``: pictures with their labels, instead of the learner's own validation split. They score the compiled
    models of every precision, so they should be pictures that it was not trained on. A learner that was loaded from a
    file knows no pictures and needs them.
    ``serving_precision``: ``auto`` (the fastest that predicts as fp32 does), ``fp32``, ``bf16`` or ``int8``.
    ``metrics``: finite numbers for the manifest, instead of the last epoch's.

    Raises ExportError, before anything is written, for a learner that a model folder can't hold (several labels a
    picture, masks, points, numbers, another resize than ``Resize(SIZE)``), saying what to change; TrainingNeededError
    where fastai isn't installed; UserError when the folder has no space left.
    """
    _need_training("export_model")
    from fastai_training.exporting.from_learner import write_learner

    return write_learner(learner, Path(folder), samples, serving_precision, metrics)


def build_learner(
    dls: DataLoaders,
    arch: str = "resnet34",
    *,
    pretrained: bool = True,
    weights: str | Path | None = None,
    **options: Any,
) -> Learner:
    """A fastai learner for transfer learning on ``dls``, frozen but for its head, as ``vision_learner`` gives one.

    ``arch`` is a name of torchvision's or timm's classification models. Pretrained weights are looked for in the folder
    ``weights`` (SageMaker's channel of that name), the image, a package, and last a download. ``Normalize`` is added to
    ``dls`` with the weights' own statistics unless it has one. ``options`` go to ``fastai.learner.Learner``
    (``metrics=error_rate``).

    Raises UserError for an architecture that doesn't exist or can't take the size of ``dls``'s pictures, and for
    weights that are nowhere or don't fit; TrainingNeededError where fastai isn't installed.
    """
    _need_training("build_learner")
    from fastai_training.fitting.learner import make_learner

    return make_learner(dls, arch, pretrained, None if weights is None else Path(weights), options)


def loader_workers(batch_size: int, image_size: int) -> int:
    """How many loader workers (``num_workers``) a job should start: one for each core that /dev/shm has room for.

    A container has 64 MB of /dev/shm unless it was given more, and a worker that finds it full ends the job.
    ``batch_size``: pictures; ``image_size``: pixels of their side. Prints why when there are fewer than cores. Raises
    TrainingNeededError where fastai isn't installed, and UserError for numbers that are out of range.
    """
    _need_training("loader_workers")
    from fastai_training.fitting.learner import count_workers

    return count_workers(batch_size, image_size)
