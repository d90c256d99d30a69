"""Pictures and labels from RecordIO files, unpacked for the job."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

from fastai_training.data.given_split import split_of_name
from fastai_training.data.labels import DataError, Example, Examples, Note
from fastai_training.data.readers import rows
from fastai_training.data.readers.class_names import name_classes
from fastai_training.data.readers.lst import SUFFIX, class_index, read_list
from fastai_training.data.readers.reader import Channel, Reader
from fastai_training.data.record_file import Record, read_records
from fastai_training.quoting import shown

#: What is unpacked must fit into the disk with so many bytes to spare.
_SPARE = 256 << 20


def _scratch(path: Path) -> Path:
    """A folder for a file's pictures, removed when the process ends. Raises DataError when the disk has no room."""
    folder = Path(tempfile.mkdtemp(prefix="recordio-"))
    atexit.register(_remove, folder, os.getpid())
    free, size = shutil.disk_usage(folder).free, path.stat().st_size
    if free < size + _SPARE:
        raise DataError(
            f"{shown(path.name)} ({size / 2**20:,.0f} MB) is unpacked to {folder}, where {free / 2**20:,.0f} MB are "
            "free; give the instance a larger volume, or pass the pictures as files"
        )
    return folder


def _remove(folder: Path, owner: int) -> None:
    if os.getpid() == owner:  # not a loader's worker, which is forked and ends earlier
        shutil.rmtree(folder, ignore_errors=True)


def _paths(channel: Channel, path: Path) -> dict[int, str]:
    """The pictures' paths by their numbers, where the list that the file was made of lies beside it."""
    lists = [one for one in channel.tables if one.suffix.lower() == SUFFIX]
    chosen = [one for one in lists if one.stem == path.stem] or (lists if len(lists) == 1 else [])
    if not chosen:
        return {}
    found = read_list(chosen[0])
    return dict(zip(found.numbers, found.paths, strict=True))


def _unpack(channel: Channel, path: Path, split: str, examples: Examples) -> None:
    folder = _scratch(path)
    paths = _paths(channel, path)
    files: list[Path] = []
    lists: list[list[str]] = []
    names: list[str] = []
    for place, record in enumerate(read_records(path)):
        file = _file(folder, place, record, paths.get(record.number, ""))
        if not record.suffix:
            examples.skipped.append((f"{path.name}, record {place}", "no picture in a format that is read here"))
            continue
        file.write_bytes(record.content)
        files.append(file)
        lists.append([class_index(str(label)) for label in record.labels])
        names.append(paths.get(record.number, ""))
    rows.refuse_several(shown(path.name), lists, [file.name for file in files])
    labels, notes = name_classes([channel.root, path.parent], [one[0] for one in lists], names)
    examples.notes += [Note(f"{len(files)} pictures of {shown(path.name)} unpacked to {folder}"), *notes]
    examples.items += [Example(file, label, "", split) for file, label in zip(files, labels, strict=True)]


def _file(folder: Path, place: int, record: Record, path: str) -> Path:
    """In the order of the records, and with the picture's own name at the end where a list says it."""
    name = Path(path.replace("\\", "/")).name
    return folder / (f"{place:08d}_{name}" if name else f"{place:08d}{record.suffix}")


def _read(channel: Channel) -> Examples:
    records = channel.tree.records
    parts = [split_of_name(path.stem) for path in records]
    if len(records) > 1 and not all(parts):
        parts = [""] * len(records)  # the shards of one set
    examples = Examples(channel.root, [], f"recordio {', '.join(shown(path.name) for path in records[:3])}")
    for path, split in zip(records, parts, strict=True):
        _unpack(channel, path, split if len(set(parts)) > 1 else "", examples)
    if channel.pictures:
        examples.notes.append(
            Note(
                f"{len(channel.pictures)} picture files beside the records are not used",
                channel.name(channel.pictures[0]),
            )
        )
    return examples


def read(channel: Channel) -> Examples:
    """Take pictures and labels from the channel's RecordIO files. Raises DataError for one that is damaged."""
    if not channel.tree.records:
        raise DataError(f"no RecordIO file (.rec) in {channel.root}")
    return _read(channel)


def _detect(channel: Channel) -> Examples | None:
    return _read(channel) if channel.tree.records else None


READER = Reader("recordio", read, _detect, absent="no RecordIO file", lists_files=True)
