"""Checkpoints on disk: complete or not there at all, two of them, each with its hash.

A file is a line (a magic word and the SHA-256 of what follows) and torch's own format, which is read without executing
anything in it. It is written to another name, flushed to the disk and renamed.
"""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import re
from collections.abc import Iterable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import torch

from fastai_container.errors import UserError
from fastai_training import console
from fastai_training.console import Log
from fastai_training.data.labels import Example
from fastai_training.diagnosis.disk_space import naming_full
from fastai_training.fitting.pretrained_weights import reason
from fastai_training.hyperparameters import HyperParameters

MAGIC = b"fastai-sagemaker-checkpoint-1"
NAME = re.compile(r"^checkpoint-\d{8}\.pt$")
PARTIAL_SUFFIX = ".partial"
KEPT = 2
#: These may differ between a run and the one that goes on with it: they do not change what is learnt.
NEUTRAL = frozenset({"workers", "checkpoint_seconds", "strict", "serving_precision", "cache_mb", "tta"})


class CheckpointError(UserError):
    """A checkpoint of another run."""


def list_checkpoints(folder: Path) -> list[Path]:
    """List the finished ones, newest first."""
    if not folder.is_dir():
        return []
    return sorted((path for path in folder.iterdir() if NAME.match(path.name)), reverse=True)


def write_checkpoint(folder: Path, number: int, state: dict[str, Any]) -> Path:
    """Write ``state`` as ``checkpoint-<number>.pt`` and keep the last two; ``number`` grows with the work done.

    Raises VolumeError when there is no room for it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    torch.save(state, buffer)
    payload = buffer.getbuffer()
    path = folder / f"checkpoint-{number:08d}.pt"
    partial = path.with_name(path.name + PARTIAL_SUFFIX)
    try:
        with naming_full(folder, needed=(KEPT + 1) * len(payload)), partial.open("wb") as file:
            file.write(MAGIC + b" " + hashlib.sha256(payload).hexdigest().encode() + b"\n")
            file.write(payload)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)  # its room is wanted for the reason of the failure
        raise
    _sync_folder(folder)
    for old in list_checkpoints(folder)[KEPT:]:
        old.unlink(missing_ok=True)
    for stale in folder.glob(f"checkpoint-*{PARTIAL_SUFFIX}"):
        stale.unlink(missing_ok=True)
    return path


def _sync_folder(folder: Path) -> None:
    """The rename itself reaches the disk; a mount that can't do this on a folder (FUSE) does without."""
    try:
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError:
        return


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read the state in ``path``. Raises ValueError when it is damaged, OSError when it can't be read."""
    content = path.read_bytes()
    line, _, payload = content.partition(b"\n")
    magic, _, digest = line.partition(b" ")
    if magic != MAGIC:
        raise ValueError("it is no checkpoint of the trainer, or of another version of it")
    if hashlib.sha256(payload).hexdigest().encode() != digest:
        raise ValueError("its SHA-256 differs: it was cut short or damaged")
    try:
        state = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(reason(error)) from None
    if not isinstance(state, dict):
        raise ValueError("it holds no state")
    return state


def read_newest(folder: Path, log: Log = console.log) -> tuple[Path, dict[str, Any]] | None:
    """Read the newest checkpoint that is whole; ``log`` is told of each damaged one. None when there is none."""
    for path in list_checkpoints(folder):
        try:
            return path, read_checkpoint(path)
        except (OSError, ValueError, RuntimeError) as error:
            log(f"checkpoint {path.name} can't be used ({error}): trying the one before")
    return None


def room_needed(folder: Path, weights: float, epochs: int, frozen: int, *, best: bool = False) -> float:
    """Estimate the bytes that checkpoints of a network need in ``folder`` besides those that are there.

    ``weights``: the network's own bytes.

    Of ``epochs`` epochs of the whole network each holds the optimizer's state too, twice the weights; of ``frozen``
    ones that train the head little more than the weights. An old one goes when the new one is written. With ``best``
    each holds the weights of the best epoch besides.
    """
    whole = min(epochs, KEPT + 1)
    heads = min(frozen, KEPT + 1 - whole)
    there = sum(path.stat().st_size for path in list_checkpoints(folder))
    return max(0.0, (3 * whole + heads + best * (whole + heads)) * weights - there)


def data_digest(root: Path, train: Iterable[Example], valid: Iterable[Example]) -> str:
    """Hash the names (relative to ``root``), labels and sizes in bytes of all pictures, in their order."""
    digest = hashlib.sha256()
    for part, items in (("train", train), ("valid", valid)):
        for item in items:
            name = item.path.relative_to(root) if item.path.is_relative_to(root) else item.path
            line = f"{part}\0{name.as_posix()}\0{item.label}\0{item.path.stat().st_size}\n"
            digest.update(line.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def run_identity(parameters: HyperParameters, digest: str, weights: str | None, processes: int) -> dict[str, Any]:
    """What must be the same for a run to go on from a checkpoint."""
    values = {name: value for name, value in asdict(parameters).items() if name not in NEUTRAL}
    return {"hyperparameters": values, "data": digest, "weights": weights, "processes": processes}


def check_identity(path: Path, made_by: dict[str, Any], now: dict[str, Any]) -> None:
    """Raises CheckpointError, naming what differs, when the checkpoint at ``path`` is of another run."""
    differences = []
    before = made_by.get("hyperparameters", {})
    if before:
        # What came later does at its default what was done before it.
        before = {item.name: item.default for item in fields(HyperParameters)} | before
    for name, value in now["hyperparameters"].items():
        if before.get(name) != value:
            differences.append(f"{name} was {before.get(name)}, is {value}")
    if made_by.get("data") != now["data"]:
        differences.append("the pictures or their labels are others")
    if made_by.get("weights") != now["weights"]:
        differences.append(f"the pretrained weights were {made_by.get('weights')}, are {now['weights']}")
    if made_by.get("processes") != now["processes"]:
        differences.append(f"it was trained by {made_by.get('processes')} processes, now there are {now['processes']}")
    if differences:
        raise CheckpointError(
            f"{path} is of another run ({'; '.join(differences)}); give the same hyperparameters, data and instances "
            "to go on from it, or an empty checkpoint folder to train anew"
        )
