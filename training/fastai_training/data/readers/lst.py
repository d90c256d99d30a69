"""Labels from a list as SageMaker's built-in image classification takes it: index, class index, path, by tabs.

The format: https://docs.aws.amazon.com/sagemaker/latest/dg/image-classification.html
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fastai_training.data.given_split import split_of_name
from fastai_training.data.labels import DataError, Examples
from fastai_training.data.readers import rows
from fastai_training.data.readers.class_names import name_classes
from fastai_training.data.readers.reader import Channel, Reader
from fastai_training.quoting import shown

SUFFIX = ".lst"


@dataclass
class List:
    """What a .lst file says: for each picture its number in the list, its class indices as text, and its path."""

    name: str
    numbers: list[int]
    labels: list[list[str]]
    paths: list[str]


def class_index(text: str) -> str:
    """Return a class index as it is called: ``3.000000``, as MXNet's tools write it, is class 3."""
    number = float(text)
    return str(int(number)) if number == int(number) else text


def read_list(path: Path) -> List:
    """Read a .lst file. Raises DataError for a line that is not a number, class indices and a path."""
    result = List(path.name, [], [], [])
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeError) as error:
        raise DataError(f"the list {shown(path.name)} can't be read: {error}; save it as UTF-8") from None
    for place, line in enumerate(lines, 1):
        if not line.strip():
            continue
        cells = line.rstrip("\n").split("\t")
        try:
            number, *labels = (float(cell) for cell in cells[:-1])
            indices = [class_index(str(label)) for label in labels]
        except (ValueError, OverflowError):
            indices = []
        if not indices:
            raise DataError(
                f"line {place} of the list {shown(path.name)} is {shown(line[:80])!r}; it must be a number, the class "
                "index and the path, separated by tabs"
            )
        result.numbers.append(int(number))
        result.labels.append(indices)
        result.paths.append(cells[-1].strip())
    if not result.paths:
        raise DataError(f"the list {shown(path.name)} is empty; it needs a line for each picture")
    return result


def _lists(channel: Channel) -> list[Path]:
    return [path for path in channel.tables if path.suffix.lower() == SUFFIX]


def _rows(channel: Channel, found: List, split: str) -> rows.Rows:
    rows.refuse_several(shown(found.name), found.labels, found.paths)
    indices = [labels[0] for labels in found.labels]
    names, notes = name_classes([channel.root, *{path.parent for path in _lists(channel)}], indices, found.paths)
    return rows.Rows(found.name, found.paths, names, [split] * len(names) if split else [], notes=notes)


def _read(channel: Channel, paths: list[Path]) -> Examples:
    parts = [split_of_name(path.stem) for path in paths]
    if len(paths) > 1 and not (all(parts) and len(set(parts)) == len(parts)):
        names = ", ".join(shown(channel.name(path)) for path in paths)
        raise DataError(f"several lists in {channel.root}: {names}; leave one, or call them train.lst and val.lst")
    whole: rows.Rows | None = None
    for path, split in zip(paths, parts, strict=True):
        part = _rows(channel, read_list(path), split if len(paths) > 1 else "")
        if whole is None:
            whole = part
            continue
        whole.name += f", {part.name}"
        whole.files += part.files
        whole.labels += part.labels
        whole.splits += part.splits
    assert whole is not None
    return rows.build(channel, whole, f"lst {shown(whole.name)}")


def read(channel: Channel) -> Examples:
    """Take pictures and labels from the channel's list, or from one for each part of a split."""
    paths = _lists(channel)
    if not paths:
        raise DataError(f"no {SUFFIX} file in {channel.root}; put one there: number, class index and path, by tabs")
    return _read(channel, paths)


def _detect(channel: Channel) -> Examples | None:
    paths = _lists(channel)
    return _read(channel, paths) if paths else None


READER = Reader("lst", read, _detect, absent="no .lst file", lists_files=True)
