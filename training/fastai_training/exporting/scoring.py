"""Score pictures with the compiled model that will be served, as it lies in the model folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import openvino

from fastai_container.model_folder import COMPILED_MODEL, COMPILED_WEIGHTS, PRECISION_HINTS, read_manifest, verify_files
from fastai_container.pictures import PictureError, model_input
from fastai_container.resources import cpu_count
from fastai_training.data.labels import Example
from fastai_training.exporting.quantization import BATCH, compile_model


@dataclass(frozen=True)
class Scores:
    """``probabilities``: float32 (n, classes) for ``items``. ``unread``: the others, which can't be read any more."""

    items: list[Example]
    probabilities: np.ndarray
    unread: list[Example]


def score(folder: Path, examples: Sequence[Example]) -> Scores:
    """Ask the compiled model for CPUs in the model folder ``folder`` for ``examples``, decoded and run as in serving.

    A picture that has gone since it was looked at, before training, is no reason to lose the model: it is told of in
    the result. Raises ModelFolderError.
    """
    manifest = read_manifest(folder)
    verify_files(folder, manifest, (COMPILED_MODEL, COMPILED_WEIGHTS))
    hint = manifest.program.get("inference_precision_hint", PRECISION_HINTS[0])
    model = compile_model(openvino.Core(), folder / COMPILED_MODEL, hint, cpu_count())
    items: list[Example] = []
    unread: list[Example] = []
    parts = [np.empty((0, len(manifest.vocab)), dtype=np.float32)]
    for start in range(0, len(examples), BATCH):
        pictures = []
        for item in examples[start : start + BATCH]:
            try:
                pictures.append(model_input(item.path, manifest.image_size))
            except PictureError:
                unread.append(item)
            else:
                items.append(item)
        if pictures:
            parts.append(model([np.stack(pictures)])[0].copy())
    return Scores(items, np.concatenate(parts), unread)
