"""From rows that name files and labels to the pictures of a channel; shared by the readers of tables and lists."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from fastai_training.data.file_index import NOT_THERE, Match
from fastai_training.data.given_split import split_of_name
from fastai_training.data.labels import TRAIN, DataError, Example, Examples, Note
from fastai_training.data.readers.reader import Channel
from fastai_training.quoting import shown

#: More rows than this share that give a picture a second label, and they are several labels a picture.
MOST_CONFLICTS = 0.05
AMBIGUOUS = "not unique: rows of several folders could mean this file, and have other labels"


@dataclass
class Rows:
    """What the file ``name`` has, row by row: ``files`` as they stand there, ``labels`` ("" for none).

    ``faults`` says why a row is left out ("" where it is not); ``splits`` and ``groups`` may be empty for none at all.
    ``places``: for each row the folder that its table lies in and the split that the table's name says, "" for none;
    empty where all tables lie in the channel's own folder. ``tables``: the files that the rows come from.
    """

    name: str
    files: list[str]
    labels: list[str]
    splits: list[str] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    places: list[tuple[str, str]] = field(default_factory=list)
    tables: list[Path] = field(default_factory=list)


def place_of(channel: Channel, table: Path) -> tuple[str, str]:
    """Return the folder that a table lies in, and the split that its name says or else its folders'; "" for none."""
    folders, _, _ = channel.name(table).rpartition("/")
    splits = [split_of_name(name) for name in (table.stem, *reversed(folders.split("/")))]
    return folders, next(filter(None, splits), "")


def joined(channel: Channel, parts: Sequence[Rows]) -> Rows:
    """Return the rows of several tables, each a part of a split, as those of one."""
    if len(parts) == 1:
        return parts[0]
    names = [part.name for part in parts]
    if len(set(names)) < len(names):  # one in each folder
        names = [channel.name(part.tables[0]) for part in parts]
    whole = Rows(", ".join(names), [], [])
    for part in parts:
        whole.files += part.files
        whole.labels += part.labels
        whole.splits += part.splits
        whole.groups += part.groups
        whole.faults += part.faults
        whole.notes += part.notes
        whole.places += part.places
        whole.tables += part.tables
    told = ", ".join(f"{shown(name)} is for {part.splits[0]}" for name, part in zip(names, parts, strict=True))
    whole.notes.append(Note(f"the tables are a split: {told}"))
    return whole


def refuse_several(where: str, lists: Sequence[Sequence[str]], files: Sequence[str]) -> None:
    """Raise DataError where a picture has more than one label."""
    several = [number for number, labels in enumerate(lists) if len(labels) > 1]
    if not several:
        return
    first = several[0]
    raise DataError(
        f"{where} gives several labels to {len(several)} of {len(lists)} pictures (for example {shown(files[first])}: "
        f"{shown(', '.join(lists[first][:5]))}): that is multi-label classification (task=multi), which this version "
        "can't train. Give each picture one label, or name a column that does by label_column"
    )


def _check_found(rows: Rows, matches: Sequence[Match]) -> None:
    named = [number for number, name in enumerate(rows.files) if name]
    if not named:
        raise DataError(f"{shown(rows.name)} names no file in any of its {len(rows.files)} rows")
    if not any(matches[number].path for number in named):
        first = named[0]
        raise DataError(
            f"none of the {len(named)} files that {shown(rows.name)} names is in the channel (the first is "
            f"{shown(rows.files[first])}: {matches[first].why}); looked for the same path, and for the longest end of "
            "it that is unique. Put the pictures into the same channel, mend the paths, or set label_from to where "
            "the labels are"
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


def _find(channel: Channel, rows: Rows) -> list[Match]:
    """The file of each row. Of rows whose other folders can't all be right the file is that of the closest."""
    places = rows.places or [("", "")] * len(rows.files)
    matches = [channel.index.match(file, *place) for file, place in zip(rows.files, places, strict=True)]
    by_path: dict[Path, list[int]] = defaultdict(list)
    for number, match in enumerate(matches):
        if match.path is not None:
            by_path[match.path].append(number)
    for numbers in by_path.values():
        if len(numbers) < 2:
            continue
        most = max(matches[number].agreed for number in numbers)
        unsure = [number for number in numbers if not matches[number].whole]
        for number in unsure:
            if matches[number].agreed < most:
                matches[number] = Match(None, NOT_THERE)
        rest = [number for number in unsure if matches[number].path is not None]
        if len({matches[n].parts for n in rest}) > 1 and len({rows.labels[n] for n in rest}) > 1:
            for number in rest:
                matches[number] = Match(None, AMBIGUOUS)
    return matches


def build(channel: Channel, rows: Rows, source: str) -> Examples:
    """Make the channel's examples of ``rows``. Raises DataError when none of the files is there."""
    items: list[Example] = []
    skipped: list[tuple[str, str]] = []
    labels_of: dict[Path, set[str]] = defaultdict(set)
    matches = _find(channel, rows)
    _check_found(rows, matches)
    for number, (file, label, match) in enumerate(zip(rows.files, rows.labels, matches, strict=True)):
        path, fault = match.path, rows.faults[number] if rows.faults else ""
        if not file:
            skipped.append((f"row {number + 1}", f"{rows.name} names no file there"))
        elif path is None:
            skipped.append((file, f"named in {rows.name} but {match.why}"))
        elif fault or not label:
            skipped.append((file, fault or f"no label in {rows.name}"))
        elif path in labels_of:  # on both sides of the split it would be validated on what it was trained on
            labels_of[path].add(label)
            skipped.append((file, f"named twice in {rows.name}"))
        else:
            labels_of[path].add(label)
            group = rows.groups[number] if rows.groups else ""
            items.append(Example(path, label, group, rows.splits[number] if rows.splits else ""))
    _refuse_conflicts(rows, labels_of, len(items))
    listed = {match.path for match in matches if match.path is not None}
    notes = rows.notes + _notes_on_rows(rows, matches) + _notes(channel, rows, labels_of, listed)
    if rows.tables:
        notes += _unused_folders(channel, items)
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


def _notes_on_rows(rows: Rows, matches: Sequence[Match]) -> list[Note]:
    """How many rows name no file of the channel, or have no label."""
    notes = []
    absent = [file for file, match in zip(rows.files, matches, strict=True) if match.path is None]
    if absent:
        text = f"{len(absent)} of {len(rows.files)} rows of {shown(rows.name)} name no file of the channel"
        notes.append(Note(text, next(filter(None, absent), "")))
    found = [number for number, match in enumerate(matches) if match.path is not None]
    blank = [rows.files[n] for n in found if not rows.labels[n] and not (rows.faults and rows.faults[n])]
    if blank:
        text = f"{len(blank)} of {len(rows.files)} rows of {shown(rows.name)} have no label, so are not used"
        notes.append(Note(text, blank[0]))
    return notes


def _unused_tables(channel: Channel, rows: Rows) -> list[Note]:
    """Tables of the channel that the rows don't come from, and of which nothing was said yet."""
    told = " ".join(note.text for note in channel.notes)
    rest = [path for path in dict.fromkeys((*channel.tables, *channel.tree.tables)) if path not in rows.tables]
    silent = [name for path in rest if shown(name := channel.name(path)) not in told]
    text = f"{len(silent)} tables are not used, since labels come from {shown(rows.name)}"
    return [Note(text, ", ".join(silent[:5]))] if rows.tables and silent else []


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
    return notes + _unused_tables(channel, rows)


def _unused_folders(channel: Channel, items: Sequence[Example]) -> list[Note]:
    """A note where the folders that the pictures lie in look like classes, but aren't those of the labels."""
    folders = {item.path: item.path.parent.name for item in items if item.path.parent != channel.root}
    names = {name for name in folders.values() if not split_of_name(name)}
    if not 2 <= len(names) <= len(items) / 2:
        return []
    other = [item for item in items if folders.get(item.path) in names and folders[item.path] != item.label]
    if not other:
        return []
    told = ", ".join(map(shown, sorted(names)[:3])) + (" …" if len(names) > 3 else "")
    text = f"the folders that pictures lie in ({told}) are not used: {len(other)} pictures have another label"
    return [Note(text, f"{channel.name(other[0].path)}: {other[0].label}")]
