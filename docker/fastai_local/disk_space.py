"""Room on disks, asked before it runs out."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from fastai_local.errors import LocalError
from fastai_local.process import warn

# What ``make test`` takes: the images with their build cache, and the models and pictures that tests write.
DOCKER_TEST_GB = 12
TEMPORARY_TEST_GB = 4
#: What it is, a folder on it, the GB needed, and what to do when they are not there.
Disk = tuple[str, Path, int, str]


def free_gb(folder: Path) -> tuple[float, Path]:
    """Return the GB free where the folder is or will be, and the nearest folder that is there."""
    place = folder
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free / 1e9, place


def temporary_folder(gigabytes: int) -> Disk:
    """Return the folder for temporary files as a disk to ask for."""
    return ("the temporary folder", Path(tempfile.gettempdir()), gigabytes, "make room there, or set TMPDIR to another")


def require_space(disks: Iterable[Disk], *, strict: bool) -> None:
    """Warn of every disk with too little room; with ``strict`` raise ``LocalError`` instead."""
    short = []
    for what, folder, gigabytes, remedy in disks:
        free, place = free_gb(folder)
        if free < gigabytes:
            short.append(f"{what} ({place}) has {free:.1f} GB free, the tests need {gigabytes}: {remedy}")
    if short and strict:
        raise LocalError("; ".join(short))
    for line in short:
        warn(line)
