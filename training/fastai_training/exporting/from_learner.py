"""A fastai learner as a model folder: what ``fastai_sagemaker.export_model`` does where training is installed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fastai.vision.all import Learner, Normalize, Resize

from fastai_container.errors import ExportError
from fastai_container.model_folder import ModelManifest
from fastai_training.data.labels import Example
from fastai_training.exporting.export import versions, write_model_folder
from fastai_training.exporting.servable import check_learner
from fastai_training.hyperparameters import HyperParameters
from fastai_training.quoting import shown

#: Of a learner that doesn't normalize: its network takes values of 0 to 1.
NOT_NORMALIZED = ([0.0] * 3, [1.0] * 3)
PRECISIONS: tuple[str, ...] = HyperParameters.__dataclass_fields__["serving_precision"].metadata["choices"]
GIVE_SAMPLES = "give them: export_model(learner, folder, samples=[(path, label), ...])"


def write_learner(
    learner: Learner,
    folder: Path,
    samples: Iterable[tuple[str | Path, str]] | None,
    serving_precision: str,
    metrics: Mapping[str, float] | None,
) -> ModelManifest:
    """Write ``learner`` to ``folder``; arguments and errors are those of ``fastai_sagemaker.export_model``."""
    if not isinstance(learner, Learner):
        raise ExportError(f"export_model takes a fastai Learner, not a {type(learner).__name__}")
    if serving_precision not in PRECISIONS:
        raise ExportError(f"serving_precision={serving_precision!r}: it is one of {', '.join(PRECISIONS)}")
    check_learner(learner)
    given = None if samples is None else [Example(Path(path), label) for path, label in samples]
    if given == []:
        raise ExportError(f"samples names no picture; {GIVE_SAMPLES}, or leave it out for the learner's own")
    # The ranges of int8 are measured on training pictures where the learner still knows them.
    train = _examples(learner, "train")
    valid = given or _examples(learner, "valid")
    if given and not train:
        print("int8 is calibrated on the samples too: the learner knows no training pictures", flush=True)
        train = given
    if not train or not valid:
        raise ExportError(f"this learner doesn't tell its pictures' files and labels; {GIVE_SAMPLES}")
    mean, std = statistics(learner)
    manifest = ModelManifest(
        architecture(learner),
        list(learner.dls.vocab),
        image_size(learner),
        mean,
        std,
        metrics=_metrics(learner) if metrics is None else _finite(metrics),
        versions=versions(),
    )
    training, device = learner.model.training, next(learner.model.parameters()).device
    try:
        return write_model_folder(folder, learner, manifest, train, valid, precision=serving_precision)
    finally:
        # The script may go on with its learner.
        learner.model.to(device).train(training)


def architecture(learner: Learner) -> str:
    """The name that ``vision_learner`` was given, else that of the network's class."""
    arch = getattr(learner, "arch", None)
    if isinstance(arch, str):
        return arch
    return getattr(arch, "__name__", None) or type(learner.model).__name__


def _transforms(pipeline: Any) -> list[Any]:
    return list(getattr(pipeline, "fs", None) or [])


def image_size(learner: Learner) -> int:
    """The side in pixels of the square that the network sees. Raises ExportError."""
    for transform in reversed(_transforms(learner.dls.valid.after_item)):
        if isinstance(transform, Resize):
            return int(transform.size[0])
    raise ExportError("this learner's pictures have no size of their own: use item_tfms=Resize(SIZE)")


def statistics(learner: Learner) -> tuple[list[float], list[float]]:
    """Mean and standard deviation per channel (red, green, blue), of values from 0 to 1. Raises ExportError."""
    found = [transform for transform in _transforms(learner.dls.valid.after_batch) if isinstance(transform, Normalize)]
    if len(found) > 1:
        raise ExportError("this learner normalizes its pictures twice; use one Normalize in batch_tfms")
    if not found:
        return NOT_NORMALIZED
    mean, std = (values.detach().cpu().flatten().tolist() for values in (found[0].mean, found[0].std))
    return mean, std


def _finite(metrics: Mapping[str, float]) -> dict[str, float]:
    """The metrics as model.json holds them. Raises ExportError for one that is no number."""
    for name, value in metrics.items():
        try:
            finite = math.isfinite(float(value))
        except (TypeError, ValueError):
            finite = False
        if not finite:
            raise ExportError(f"metrics: {name}={value} is not a finite number; leave it out, or look at the training")
    return {str(name): float(value) for name, value in metrics.items()}


def _metrics(learner: Learner) -> dict[str, float]:
    """Those of the last epoch on the validation split, as fastai's recorder has them; none before a training."""
    recorder: Any = getattr(learner, "recorder", None)
    values = getattr(recorder, "values", None)
    if not values:
        return {}
    names = [name for name in recorder.metric_names if name not in ("epoch", "time")]
    pairs = dict(zip(names, map(float, values[-1]), strict=False))
    pairs.pop("train_loss", None)
    left_out = [f"{name}={value}" for name, value in pairs.items() if not math.isfinite(value)]
    if left_out:
        print(f"warning: not in the manifest, since no finite numbers: {', '.join(left_out)}", flush=True)
    return {name: value for name, value in pairs.items() if math.isfinite(value)}


def _examples(learner: Learner, side: str) -> list[Example]:
    """The pictures of one side of the split with their labels; none where the learner doesn't tell files."""
    data: Any = getattr(getattr(learner.dls, side, None), "dataset", None)
    parts = list(getattr(data, "tls", None) or [])
    if len(parts) != 2 or not len(data):
        return []
    getters = _before_pictures(_transforms(parts[0].tfms))
    vocab, items = list(learner.dls.vocab), parts[0].items
    rows = getattr(items, "iloc", items)  # of a table
    examples = []
    for place in range(len(items)):
        path = _path(rows[place], getters)
        if path is None:
            print(f"the learner's {side} items are no files of pictures ({shown(rows[place])})", flush=True)
            return []
        examples.append(Example(path, vocab[int(parts[1][place])]))
    return examples


def _before_pictures(transforms: Sequence[Any]) -> list[Any]:
    """What is done to an item before its picture is opened: getting the path from a row, a tuple or a name."""
    names = [str(getattr(transform, "name", "")) for transform in transforms]
    opens = next((place for place, name in enumerate(names) if name.endswith(".create")), len(names))
    return list(transforms[:opens])


def _path(item: Any, getters: Sequence[Any]) -> Path | None:
    """The file of ``item``; None where it is none."""
    for getter in getters:
        item = getter(item)
    return Path(item) if isinstance(item, str | Path) and Path(item).is_file() else None
