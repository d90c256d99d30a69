"""Run a compiled model: one inference backend a file, chosen by what the model folder holds and the device.

``BACKENDS`` is the registry. A further one (another runtime's file in the model folder) is one file with a class
that has the methods of ``Backend``, and one entry. Each imports its runtime when it is made: an image need not have
all of them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fastai_container.errors import ModelFolderError
from fastai_container.model_folder import (
    COMPILED_MODEL,
    COMPILED_WEIGHTS,
    PRECISION_HINTS,
    TORCH_MODEL,
    ModelManifest,
    seal,
    verify_files,
)
from fastai_serving.environment import SEAL_ENV
from fastai_serving.worker.backends import torch_export
from fastai_serving.worker.backends.base import Backend
from fastai_serving.worker.backends.openvino_cpu import OpenVinoBackend
from fastai_serving.worker.backends.torch_export import TorchExportBackend

__all__ = ["BACKENDS", "Backend", "OpenVinoBackend", "TorchExportBackend", "check_output", "load_backend"]


@dataclass(frozen=True)
class Device:
    """What a worker may use: ``gpu`` is the one that multi-model-server gave it, or None; ``cores`` the machine's."""

    threads: int
    cores: int = 1
    gpu: int | None = None


@dataclass(frozen=True)
class Entry:
    """``files``: what the backend opens, all of which the model folder must hold; ``gpu``: the device it is for."""

    files: tuple[str, ...]
    gpu: bool
    make: Callable[[Path, ModelManifest, Device], Backend]


def _openvino(folder: Path, model: ModelManifest, device: Device) -> Backend:
    precision = model.program.get("inference_precision_hint", PRECISION_HINTS[0])
    return OpenVinoBackend(folder, device.threads, precision, device.cores)


def _torch_export(folder: Path, model: ModelManifest, device: Device) -> Backend:
    return TorchExportBackend(folder, f"cuda:{device.gpu}", device.threads)


#: The first that fits is taken.
BACKENDS = (
    Entry((COMPILED_MODEL, COMPILED_WEIGHTS), gpu=False, make=_openvino),
    Entry((TORCH_MODEL,), gpu=True, make=_torch_export),
)


def _choose(folder: Path, model: ModelManifest, device: Device) -> Entry:
    """The backend for the device whose files the folder holds. Raises ModelFolderError for a GPU without any."""
    fitting = [entry for entry in BACKENDS if entry.gpu == (device.gpu is not None)]
    for entry in fitting:
        if all(name in model.files or (folder / name).exists() for name in entry.files):
            return entry
    if device.gpu is not None:
        raise ModelFolderError(torch_export.NOT_FOUND.format(folder))
    return fitting[0]  # which of its files is missing is said where they are verified


def load_backend(folder: Path, model: ModelManifest, threads: int, gpu: int | None, cores: int = 1) -> Backend:
    """Load the compiled model for one worker with ``threads`` threads, on a machine of ``cores``.

    ``gpu`` is the device that multi-model-server gave it, or None. The files that it opens are verified first, unless
    the supervisor did it and they are as they were. Raises ModelFolderError.
    """
    device = Device(threads, cores, gpu)
    entry = _choose(folder, model, device)
    verified = os.environ.get(SEAL_ENV)
    if not verified or verified != seal(folder, model) or not model.files.keys() >= set(entry.files):
        verify_files(folder, model, entry.files)
    backend = entry.make(folder, model, device)
    if backend.size not in (None, model.image_size):
        raise ModelFolderError(
            f"the compiled model takes pictures of {backend.size} x {backend.size} pixels but model.json says "
            f"{model.image_size} (image_size); they are not of one model: train or copy the whole folder again"
        )
    return backend


def check_output(model: ModelManifest, probabilities: np.ndarray) -> None:
    """Raises ModelFolderError unless ``probabilities``, of the first pass, are numbers for each class of ``model``."""
    classes = len(model.vocab)
    if probabilities.ndim != 2 or probabilities.shape[1] != classes:
        gives = f"{probabilities.shape[1]}" if probabilities.ndim == 2 else f"{probabilities.ndim - 1}-dimensional"
        raise ModelFolderError(
            f"the compiled model has {gives} outputs but model.json names {classes} classes (vocab); they are not of "
            "one model: train or copy the whole folder again"
        )
    if not np.isfinite(probabilities).all():
        raise ModelFolderError("the compiled model answers with what is no number (NaN or infinite); train it again")
