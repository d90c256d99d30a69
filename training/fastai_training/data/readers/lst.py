"""Labels from a list as SageMaker's built-in image classification takes it: index, class index, path, by tabs.

The format: https://docs.aws.amazon.com/sagemaker/latest/dg/image-classification.html
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fastai_training.data.given_split import splits_of_files
from fastai_training.data.labels import DataError, Examples, Note
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


def number_text(number: float) -> str:
    """Return a label as it is called: ``3.000000``, as MXNet's tools write it, is 3."""
    return str(int(number)) if number.is_integer() else f"{number:g}"


def check_indices(where: str, labels: list[str], files: list[str]) -> None:
    """Raise DataError where a label is no class index, a whole number from 0."""
    wrong = [(label, file) for label, file in zip(labels, files, strict=True) if not label.isdigit()]
    if wrong:
        raise DataError(
            f"{where} has {len(wrong)} labels that are no class index, a whole number from 0 (for example "
            f"{shown(wrong[0][1])}: {wrong[0][0]}); take pictures without a class out, and number the classes from 0. "
            "Quantities (task=regression) are not trained by this version"
        )


def read_list(path: Path) -> List:
    """Read a .lst file. Raises DataError for a line that is not a number, class indices and a path."""
    result = List(path.name, [], [], [])
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeError) as error:
        raise DataError(f"the list {shown(path.name)} can't be read: {error}; save it as UTF-8") from None
    for place, line in enumerate(lines, 1):
        if not line.strip():
            continue
        *cells, file = line.rstrip("\r").split("\t")
        try:
            number, *labels = (float(cell) for cell in cells)
            result.numbers.append(int(number))
        except (ValueError, OverflowError):
            labels = []
        if not labels:
            raise DataError(
                f"line {place} of the list {shown(path.name)} is {shown(repr(line[:80]))}; it must be a number, the "
                "class index and the path, separated by tabs"
            )
        result.labels.append([number_text(label) for label in labels])
        result.paths.append(file.strip())
    if not result.paths:
        raise DataError(f"the list {shown(path.name)} is empty; it needs a line for each picture")
    return result


def lists_of(channel: Channel) -> list[Path]:
    """Return the channel's lists."""
    return [path for path in channel.tables if path.suffix.lower() == SUFFIX]


def _read(channel: Channel, paths: list[Path]) -> Examples:
    parts = splits_of_files([channel.name(path) for path in paths])
    if len(paths) > 1 and not all(parts):
        names = ", ".join(shown(channel.name(path)) for path in paths)
        raise DataError(f"several lists in {channel.root}: {names}; leave one, or call them train.lst and val.lst")
    whole = rows.Rows("", [], [])
    counts: list[str] = []
    for path, split in zip(paths, parts, strict=True):
        found = read_list(path)
        rows.refuse_several(shown(found.name), found.labels, found.paths)
        indices = [labels[0] for labels in found.labels]
        check_indices(shown(found.name), indices, found.paths)
        counts.append(f"{shown(found.name)} ({len(indices)})")
        whole.name += f", {found.name}" if whole.name else found.name
        whole.files += found.paths
        whole.labels += indices
        whole.splits += [split] * len(indices) if len(paths) > 1 else []
    class_names, whole.notes = name_classes(
        channel, [channel.root, *(path.parent for path in paths)], whole.labels, whole.files
    )
    whole.labels = [class_names[index] for index in whole.labels]
    if any(parts):
        whole.notes.append(Note(f"the lists {', '.join(counts[:5])} are a split, used as it is"))
    others = [channel.name(path) for path in channel.tables if path not in paths]
    if others:
        text = f"{len(others)} tables are not used, since labels come from {shown(whole.name)}"
        whole.notes.append(Note(text, ", ".join(map(shown, others[:5]))))
    examples = rows.build(channel, whole, f"lst {shown(whole.name)}")
    examples.class_names = class_names
    return examples


def read(channel: Channel) -> Examples:
    """Take pictures and labels from the channel's list, or from one for each part of a split."""
    paths = lists_of(channel)
    if not paths:
        raise DataError(f"no {SUFFIX} file in {channel.root}; put one there: number, class index and path, by tabs")
    return _read(channel, paths)


def _detect(channel: Channel) -> Examples | None:
    paths = lists_of(channel)
    return _read(channel, paths) if paths else None


READER = Reader("lst", read, _detect, absent="no .lst file", lists_files=True)
