"""Check the folders that a job writes to: whether they are writable, and which of their volumes are full."""

from __future__ import annotations

import errno
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from fastai_container.errors import UserError
from fastai_container.paths import MLPaths
from fastai_training.diagnosis.symptoms import FULL_ERRORS

#: A volume with less free space than this (in bytes, or as a share of the whole) counts as full.
_LEAST_BYTES, _LEAST_SHARE = 1 << 20, 0.01
#: The most files to look at when searching for the one that was written last.
_LOOKED_AT = 2000
_QUOTED_PATH = re.compile(r"""['"](/[^'"\n]+)['"]""")


class VolumeError(UserError):
    """A folder that the job must write to can't be written."""


def of_job(paths: MLPaths) -> tuple[Path, ...]:
    """Return the folders that a job writes to, including the one for temporary files."""
    return (paths.model, paths.output_data, paths.checkpoints, paths.code, paths.base, Path(tempfile.gettempdir()))


def mib(size: float) -> str:
    """Format a size in bytes as MiB, with a decimal when it is small."""
    return f"{size / 2**20:,.0f} MiB" if size >= 10 * 2**20 else f"{size / 2**20:,.1f} MiB"


def obstacle(folder: Path) -> str:
    """Return why ``folder`` (created if missing) can't be written and what to do, or "" if it can be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return ""
    except (FileExistsError, NotADirectoryError):
        file = next((parent for parent in (folder, *folder.parents) if parent.exists() and not parent.is_dir()), folder)
        return f"{file} is a file; it must be a folder: mount a folder there"
    except OSError as error:
        return f"{_cannot(folder, error)}"


def _cannot(folder: Path, error: OSError) -> str:
    there = next((parent for parent in (folder, *folder.parents) if parent.exists()), folder)
    if error.errno == errno.EROFS:
        return f"{there} is read-only; mount it writable (docker run -v FOLDER:{folder}, without :ro)"
    if error.errno in FULL_ERRORS:
        return f"the disk is full: {describe([there])}; take a larger volume"
    if error.errno in (errno.EACCES, errno.EPERM):
        owner, mode = there.stat().st_uid, there.stat().st_mode & 0o7777
        return (
            f"{there} belongs to user {owner} (mode {mode:o}) and this container runs as user {os.getuid()}, which may "
            f"not write there; give it to that user (chown -R {os.getuid()}), or run the container as user {owner}"
        )
    return f"{there}: {error.strerror}"


def check(paths: MLPaths, *, scripted: bool) -> list[str]:
    """Make the folders that the job writes to. Raise ``VolumeError`` when the model can't be written.

    For a script (``scripted``) the other folders are optional. Problems with them are returned as warnings for the log.
    """
    found = obstacle(paths.model)
    if found:
        raise VolumeError(f"the model can't be written: {found}")
    warnings = []
    for what, folder in (("results", paths.output_data), ("a failure's reason", paths.failure.parent)):
        found = obstacle(folder)
        if found and not scripted:
            raise VolumeError(f"{what} can't be written: {found}")
        if found:
            warnings.append(f"{what} can't be written: {found}")
    return warnings


def _existing(path: Path) -> Path:
    return next((parent for parent in (path, *path.parents) if parent.exists()), Path("/"))


def _volumes(folders: Iterable[Path]) -> Iterator[tuple[Path, int, int]]:
    """Yield (folder, free bytes, total bytes) for each volume of ``folders``, with the first folder that is on it."""
    seen = set()
    for folder in folders:
        try:
            there = _existing(folder)
            device, usage = there.stat().st_dev, shutil.disk_usage(there)
        except OSError:
            continue
        if device not in seen:
            seen.add(device)
            yield there, usage.free, usage.total


def describe(folders: Iterable[Path], text: str = "") -> str:
    """Name the full volumes among those of ``folders`` and of the paths that ``text`` quotes; "" if none is full."""
    quoted = [Path(found) for found in _QUOTED_PATH.findall(text)]
    full = []
    for folder, free, total in _volumes([*(path.parent for path in quoted), *folders]):
        if free < max(_LEAST_BYTES, total * _LEAST_SHARE):
            last = _written_last(folder)
            full.append(f"{folder} ({mib(total)}) has no room left{f' (written last: {last})' if last else ''}")
    return ", ".join(full)


def room(folders: Iterable[Path]) -> str:
    """Return the volumes of ``folders`` and the free space of each."""
    return ", ".join(f"{folder} has {mib(free)} of {mib(total)}" for folder, free, total in _volumes(folders))


def _written_last(folder: Path) -> str:
    """Return the file below ``folder`` written last, and its size: on a full disk it is most likely cut short."""
    newest, found = -1.0, ""
    device = folder.stat().st_dev
    looked = 0
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if _device(Path(place, name)) == device]
        for name in names:
            path = Path(place, name)
            looked += 1
            try:
                facts = path.lstat()
            except OSError:
                continue
            if facts.st_mtime > newest and facts.st_size:
                newest, found = facts.st_mtime, f"{path.relative_to(folder)}, {mib(facts.st_size)}"
        if looked > _LOOKED_AT:
            return ""
    return found


def _device(path: Path) -> int:
    try:
        return path.lstat().st_dev
    except OSError:
        return -1
