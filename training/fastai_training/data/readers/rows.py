"""From rows that name files and labels to the pictures of a channel; shared by the readers of tables and lists."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from fastai_training.data.given_split import split_of_name
from fastai_training.data.labels import TRAIN, DataError, Example, Examples, Note
from fastai_training.data.readers.reader import Channel
from fastai_training.quoting import shown

#: More rows than this share that give a picture a second label, and they are several labels a picture.
MOST_CONFLICTS = 0.05


@dataclass
class Rows:
    """What the file ``name`` has, row by row: ``files`` as they stand there, ``labels`` ("" for none).

    ``faults`` says why a row is left out ("" where it is not); ``splits`` and ``groups`` may be empty for none at all.
    """

    name: str
    files: list[str]
    labels: list[str]
    splits: list[str] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)


def refuse_several(where: str, lists: Sequence[Sequence[str]], files: Sequence[str]) -> None:
    """Raise DataError where a picture has more than one label, or the labels are lists and one is empty."""
    several = [number for number, labels in enumerate(lists) if len(labels) > 1]
    if not several:
        return
    first = several[0]
    raise DataError(
        f"{where} gives several labels to {len(several)} of {len(lists)} pictures (for example {shown(files[first])}: "
        f"{shown(', '.join(lists[first][:5]))}): that is multi-label classification (task=multi), which this version "
        "can't train. Give each picture one label, or name a column that does by label_column"
    )


def _check_found(rows: Rows, missing: Sequence[str], why: str) -> None:
    named = sum(1 for name in rows.files if name)
    if missing and len(missing) == named:
        raise DataError(
            f"none of the {named} files that {shown(rows.name)} names is in the channel (the first is "
            f"{shown(missing[0])}: {why}); looked for the same path, and for the longest end of it that is unique. Put "
            "the pictures into the same channel, or mend the paths"
        )


def _refuse_conflicts(rows: Rows, second: dict[Path, set[str]], pictures: int) -> None:
    several = {path: labels for path, labels in second.items() if len(labels) > 1}
    if len(several) > MOST_CONFLICTS * pictures and len(several) > 1:
        path, labels = next(iter(several.items()))
        raise DataError(
            f"{shown(rows.name)} gives {len(several)} of {pictures} pictures in rows of their own several labels (for "
            f"example {shown(path.name)}: {shown(', '.join(sorted(labels)[:5]))}): that is multi-label classification "
            "(task=multi), which this version can't train. Leave one row a picture"
        )


def build(channel: Channel, rows: Rows, source: str) -> Examples:
    """Make the channel's examples of ``rows``. Raises DataError when none of the files is there."""
    items: list[Example] = []
    skipped: list[tuple[str, str]] = []
    missing: list[str] = []
    labels_of: dict[Path, set[str]] = defaultdict(set)
    listed: set[Path] = set()
    first_why = ""
    for number, (file, label) in enumerate(zip(rows.files, rows.labels, strict=True)):
        path, why = channel.index.find(file)
        fault = rows.faults[number] if rows.faults else ""
        if path is not None:
            listed.add(path)
        if path is None:
            skipped.append((file or f"row {number + 1}", f"named in {rows.name} but {why}"))
            missing.append(file)
            first_why = first_why or why
        elif fault or not label:
            skipped.append((file, fault or f"no label in {rows.name}"))
        elif path in labels_of:  # on both sides of the split it would be validated on what it was trained on
            labels_of[path].add(label)
            skipped.append((file, f"named twice in {rows.name}"))
        else:
            labels_of[path].add(label)
            group = rows.groups[number] if rows.groups else ""
            items.append(Example(path, label, group, rows.splits[number] if rows.splits else ""))
    _check_found(rows, missing, first_why)
    _refuse_conflicts(rows, labels_of, len(items))
    notes = rows.notes + _notes(channel, rows, labels_of, listed)
    if not rows.splits:
        items = _split_by_folders(channel, items, notes)
    return Examples(channel.root, items, source, skipped, notes)


def _split_by_folders(channel: Channel, items: list[Example], notes: list[Note]) -> list[Example]:
    """The split that the folders above the pictures say, where each lies in a part of it and one is for training."""
    splits = []
    for item in items:
        found = [split for part in channel.name(item.path).split("/")[:-1] if (split := split_of_name(part))]
        splits.append(found[0] if found else "")
    if not all(splits) or TRAIN not in splits or len(set(splits)) < 2:
        return items
    counts = Counter(splits)
    notes.append(
        Note("split by the folders that the pictures lie in: " + ", ".join(f"{n} {s}" for s, n in counts.items()))
    )
    return [replace(item, split=split) for item, split in zip(items, splits, strict=True)]


def _notes(channel: Channel, rows: Rows, labels_of: dict[Path, set[str]], listed: set[Path]) -> list[Note]:
    notes = []
    twice = [path for path, labels in labels_of.items() if len(labels) > 1]
    if twice:
        labels = ", ".join(sorted(labels_of[twice[0]])[:5])
        text = f"{len(twice)} pictures have several labels in {shown(rows.name)}, of which the first is taken"
        notes.append(Note(text, f"{channel.name(twice[0])}: {labels}"))
    unnamed = [path for path in channel.pictures if path not in listed]
    if unnamed:
        folders = sorted({channel.name(path).rpartition("/")[0] or "." for path in unnamed})
        below = f" (in {', '.join(map(shown, folders[:5]))}{' …' if len(folders) > 5 else ''})"
        text = f"{len(unnamed)} pictures are not used, since {shown(rows.name)} has no row for them{below}"
        notes.append(Note(text, channel.name(unnamed[0])))
    return notes
