"""Pictures and labels from RecordIO files, unpacked for the job."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fastai_training.data.given_split import split_of_name, splits_of_files
from fastai_training.data.labels import DataError, Example, Examples, Note
from fastai_training.data.readers import rows
from fastai_training.data.readers.class_names import name_classes
from fastai_training.data.readers.lst import check_indices, lists_of, number_text, read_list
from fastai_training.data.readers.reader import Channel, Reader
from fastai_training.data.record_file import Record, read_records
from fastai_training.quoting import shown

#: What is unpacked must fit into the disk with so many bytes to spare.
_SPARE = 256 << 20
#: Characters; file systems take 255 bytes.
_LONGEST_NAME = 60
NO_PICTURE = "no picture in a format that is read here"


@dataclass
class _File:
    """What a RecordIO file holds: its pictures, unpacked, with the records' numbers and the labels as text.

    ``originals``: the pictures' paths by the list beside it, ``used_list``; each "" without one.
    """

    path: Path
    split: str
    pictures: list[Path] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    originals: list[str] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    used_list: str = ""


def _scratch(records: Sequence[Path]) -> Path:
    """A folder for the pictures, removed when the process ends. Raises DataError when the disk has no room."""
    folder = Path(tempfile.mkdtemp(prefix="recordio-"))
    atexit.register(_remove, folder, os.getpid())
    free, size = shutil.disk_usage(folder).free, sum(path.stat().st_size for path in records)
    if free < size + _SPARE:
        raise DataError(
            f"{', '.join(shown(path.name) for path in records[:3])} ({size / 2**20:,.0f} MB) is unpacked to {folder}, "
            f"where {free / 2**20:,.0f} MB are free; give the instance a larger volume, or pass the pictures as files"
        )
    return folder


def _remove(folder: Path, owner: int) -> None:
    if os.getpid() == owner:  # not a loader's worker, which is forked and ends earlier
        shutil.rmtree(folder, ignore_errors=True)


def _listed(channel: Channel, path: Path) -> tuple[dict[int, tuple[list[str], str]], str]:
    """By the records' numbers their labels and paths, as the list says that the file was made of, and its name."""
    lists = lists_of(channel)
    beside = [one for one in lists if one.parent == path.parent]
    named = [one for one in (*beside, *lists) if one.stem == path.stem]
    alone = [one for one in lists if len(lists) == 1 and split_of_name(one.stem) in ("", split_of_name(path.stem))]
    chosen = next(iter(named or alone), None)
    if chosen is None:
        return {}, ""
    try:
        found = read_list(chosen)
    except DataError as error:  # the records have all that is needed
        channel.notes.append(Note(f"{shown(channel.name(chosen))} is not used: {error}"))
        return {}, ""
    return dict(zip(found.numbers, zip(found.labels, found.paths, strict=True), strict=True)), channel.name(chosen)


def _unpack(channel: Channel, path: Path, split: str, folder: Path, first: int) -> _File:
    """Write a file's pictures to ``folder``, numbered from ``first``. Raises DataError."""
    listed, name = _listed(channel, path)
    found = _File(path, split)
    lists: list[list[str]] = []
    wrong = count = 0
    for count, record in enumerate(read_records(path), 1):
        labels = [number_text(label) for label in record.labels]
        said, original = listed.get(record.number, ([], ""))
        wrong += said != labels
        file = _file(folder, first + count - 1, record, original if said == labels else "")
        if not record.suffix:
            found.skipped.append((f"{path.name}, record {count - 1}", NO_PICTURE))
            continue
        file.write_bytes(record.content)
        found.pictures.append(file)
        found.numbers.append(record.number)
        lists.append(labels)
    if not found.pictures:
        held = f"{count} records, and {NO_PICTURE} in any" if count else "no records"
        raise DataError(f"{shown(path.name)} holds {held}; make it of JPEG or PNG files with MXNet's im2rec")
    rows.refuse_several(shown(path.name), lists, [file.name for file in found.pictures])
    found.labels = [labels[0] for labels in lists]
    check_indices(shown(path.name), found.labels, [file.name for file in found.pictures])
    channel.notes.append(Note(f"{len(found.pictures)} pictures of {shown(path.name)} unpacked to {folder}"))
    if name and wrong:
        text = f"the list {shown(name)} is not used: {wrong} of {count} records of {shown(path.name)} are not in it, "
        channel.notes.append(Note(text + "or have other labels there"))
    found.used_list = "" if wrong else name
    found.originals = [listed[number][1] if found.used_list else "" for number in found.numbers]
    return found


def _file(folder: Path, place: int, record: Record, path: str) -> Path:
    """In the order of the records, and with the picture's own name at the end where a list says it."""
    name = Path(path.replace("\\", "/").replace("\0", "")).stem[-_LONGEST_NAME:]
    return folder / (f"{place:08d}_{name}{record.suffix}" if name else f"{place:08d}{record.suffix}")


def _read(channel: Channel) -> Examples:
    records = channel.tree.records
    parts = splits_of_files([channel.name(path) for path in records])
    more = f" and {len(records) - 3} more" if len(records) > 3 else ""
    examples = Examples(channel.root, [], f"recordio {', '.join(shown(path.name) for path in records[:3])}{more}")
    # In one folder, numbered through: other processes and a resumed job must find the same names in the same order.
    folder, files, first = _scratch(records), [], 0
    for path, split in zip(records, parts, strict=True):
        files.append(_unpack(channel, path, split, folder, first))
        first += len(files[-1].pictures) + len(files[-1].skipped)
    # All files together: a shard may have pictures of one class only.
    indices = [label for file in files for label in file.labels]
    folders = [channel.root, *(path.parent for path in (*records, *channel.labels))]
    originals = [path for file in files for path in file.originals]
    examples.class_names, examples.notes = name_classes(channel, folders, indices, originals)
    for file in files:
        examples.skipped += file.skipped
        examples.items += [
            Example(picture, examples.class_names[label], split=file.split)
            for picture, label in zip(file.pictures, file.labels, strict=True)
        ]
    if any(parts):
        counts = ", ".join(f"{shown(file.path.name)} ({len(file.pictures)})" for file in files[:5])
        examples.notes.append(Note(f"the files {counts} are a split, used as it is"))
    _note_unused(channel, examples, {file.used_list for file in files})
    return examples


def _note_unused(channel: Channel, examples: Examples, used: set[str]) -> None:
    """What lies beside the records."""
    if channel.pictures:
        text = f"{len(channel.pictures)} picture files beside the records are not used"
        examples.notes.append(Note(text, channel.name(channel.pictures[0])))
    told = " ".join(note.text for note in channel.notes)
    names = [name for path in channel.tables if (name := channel.name(path)) not in used]
    silent = [name for name in names if shown(name) not in told]
    if silent:
        text = f"{len(silent)} tables are not used, since labels come from the records"
        examples.notes.append(Note(text, ", ".join(map(shown, silent[:5]))))


def read(channel: Channel) -> Examples:
    """Take pictures and labels from the channel's RecordIO files. Raises DataError for one that is damaged."""
    if not channel.tree.records:
        raise DataError(f"no RecordIO file (.rec) in {channel.root}")
    return _read(channel)


def _detect(channel: Channel) -> Examples | None:
    return _read(channel) if channel.tree.records else None


READER = Reader("recordio", read, _detect, absent="no RecordIO file", lists_files=True)
