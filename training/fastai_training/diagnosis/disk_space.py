"""Room for what a job writes: an estimate before training, and one sentence when there is none."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from fastai_container.errors import UserError
from fastai_training.console import Log
from fastai_training.diagnosis import symptoms
from fastai_training.diagnosis.volumes import VolumeError, mib

#: With less room than this after a failed write, the volume is what it failed of.
_NO_ROOM = 1 << 20
#: A model folder's size by that of its float32 weights: themselves, the compiled model for GPUs and the learner
#: alike, and the compiled model for CPUs half or a quarter of that.
MODEL_TIMES_WEIGHTS = 3.25
#: Of the compiled models for CPUs that are made beside it, and measured.
COMPILED_TIMES_WEIGHTS = 0.5


def free_bytes(folder: Path) -> int | None:
    """Room for this user on the volume of ``folder``, which need not exist yet; None when it can't be told."""
    for path in (folder, *folder.parents):
        try:
            return shutil.disk_usage(path).free
        except FileNotFoundError:
            continue
        except OSError:
            return None
    return None


def full(folder: Path, needed: float | None = None) -> str:
    """The sentence for a full volume. ``needed``: bytes in all that are to be written."""
    free = free_bytes(folder) or 0
    need = f" needs about {mib(needed)}," if needed else " has"
    # Room, and yet a write failed for lack of it:
    why = " but takes no more files, or there is a quota" if free > max(needed or 0, _NO_ROOM) else ""
    return f"the disk is full: {folder}{need} {mib(free)} free{why}; take a larger volume"


def check_room(needs: dict[Path, float]) -> None:
    """Whether the volumes of these folders have room for so many bytes in each. Raises VolumeError."""
    volumes: dict[int, list[Path]] = {}
    for folder in needs:
        try:
            volumes.setdefault(folder.stat().st_dev, []).append(folder)
        except OSError:
            continue
    for folders in volumes.values():
        free = free_bytes(folders[0])
        needed = sum(needs[folder] for folder in folders)
        if free is not None and free < needed:
            raise VolumeError(
                f"the disk is full: {' and '.join(map(str, folders))} need{'s' if len(folders) == 1 else ''} about "
                f"{mib(needed)}, {mib(free)} are free; take a larger volume"
            )


@contextlib.contextmanager
def naming_full(*folders: Path, needed: float | None = None) -> Iterator[None]:
    """While ``folders`` are written to: an error that means that one is full becomes a VolumeError that says so.

    ``needed`` is an estimate, in bytes, of what goes into the first.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # torch, safetensors and OpenVINO raise RuntimeErrors of their own words
        said = isinstance(error, OSError) and error.errno in symptoms.FULL_ERRORS
        said = said or symptoms.DISK_FULL_WHILE_WRITING.search(str(error)) is not None
        if not said and not symptoms.WRITE_CUT_WHILE_WRITING.search(str(error)):
            raise
        rooms = [(free, folder) for folder in folders if (free := free_bytes(folder)) is not None]
        free, folder = min(rooms, default=(_NO_ROOM, folders[0]))
        if not said and free >= _NO_ROOM:
            raise
        raise VolumeError(full(folder, needed if folder == folders[0] else None)) from error


def keep(path: Path, content: str | bytes, log: Log) -> bool:
    """Write a file that the job can do without: a failure is a warning in the log. Returns whether it is written."""
    data = content.encode("utf-8", "replace") if isinstance(content, str) else content
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    except OSError as error:
        if error.errno in symptoms.FULL_ERRORS:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)  # half a file helps nobody
        why = full(path.parent, len(data)) if error.errno in symptoms.FULL_ERRORS else error.strerror or str(error)
        log(f"warning: {path} was not written: {why}")
        return False
    return True
