"""How a channel's folders are arranged: what they all lie in, the parts of a split, and below that the classes."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from fastai_training.data.given_split import split_of_name
from fastai_training.data.labels import TRAIN, DataError, Note
from fastai_training.data.readers.reader import AUTO, Channel
from fastai_training.quoting import shown

FIRST, LAST = "first", "last"
#: Folders that say nothing of a class: collections, years, dates, numbers.
_GENERIC = re.compile(
    r"^(?:(?:images?|imgs?|pictures?|pics?|photos?|jpe?gs?|pngs?|raw|all|data|files?|originals?|frames?|crops?|"
    r"batch|part|day|session|set|folder|group|site|seq|sequence)[\s_.-]*\d*|\d[\d\s_.-]*)$",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Place:
    """A picture; the ``folders`` that it lies in, below what all lie in and below the split; its ``split``, or ""."""

    path: Path
    folders: tuple[str, ...]
    split: str


@dataclass
class Layout:
    """The places of a channel's pictures, and what is left out of them."""

    places: list[Place]
    skipped: list[tuple[str, str]] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)


def _common(folders: list[tuple[str, ...]]) -> int:
    """How many folders all have in common."""
    if not folders:
        return 0
    low, high = min(folders), max(folders)
    count = 0
    while count < len(low) and count < len(high) and low[count] == high[count]:
        count += 1
    return min(count, *(len(one) for one in folders))


def read_layout(channel: Channel, pictures: list[Path]) -> Layout:
    """Arrange ``pictures`` by the channel's folders. A split is one where all its first folders that hold more than a
    few are called so, and one of them is for training."""
    folders = [tuple(channel.name(path).split("/")[:-1]) for path in pictures]
    depth = _common(folders)
    tops: dict[str, int] = defaultdict(int)
    for one in folders:
        tops[one[depth] if len(one) > depth else ""] += 1
    splits = {name: split_of_name(name) for name in tops if name}
    found = {split for split in splits.values() if split}
    if TRAIN not in found or len(found) < 2:
        return Layout([Place(path, one[depth:], "") for path, one in zip(pictures, folders, strict=True)])
    return _with_splits(channel, pictures, folders, depth, splits)


def _with_splits(
    channel: Channel, pictures: list[Path], folders: list[tuple[str, ...]], depth: int, splits: dict[str, str]
) -> Layout:
    layout = Layout([])
    counts: dict[str, int] = defaultdict(int)
    outside: dict[str, list[Path]] = defaultdict(list)
    for path, one in zip(pictures, folders, strict=True):
        top = one[depth] if len(one) > depth else ""
        if splits.get(top):
            counts[top] += 1
            layout.places.append(Place(path, one[depth + 1 :], splits[top]))
        else:
            outside[top].append(path)
    told = ", ".join(f"{shown(name)} ({count})" for name, count in counts.items())
    layout.notes.append(Note(f"the folders {told} are a split, used as it is"))
    for top, paths in outside.items():
        where = f"in {shown(top)}" if top else "beside the folders"
        text = f"{len(paths)} pictures {where} are not used, since they are in no part of the split"
        layout.notes.append(Note(text, channel.name(paths[0])))
    return layout


def class_of(place: Place, level: str, holders: set[tuple[str, ...]]) -> str:
    """Return the class of a picture by its folders; "" for one that lies in none.

    ``holders``: folders that hold pictures themselves; below such a folder all belongs to it.
    """
    if not place.folders:
        return ""
    if level == FIRST:
        return place.folders[0]
    for depth in range(1, len(place.folders)):
        if place.folders[:depth] in holders:
            return place.folders[depth - 1]
    return place.folders[-1]


def class_level(channel: Channel, places: list[Place]) -> tuple[str, list[Note]]:
    """Return whether the first or the last folder is the class, where pictures lie in folders of folders.

    The one that says something: years, numbers, "images" don't. Raises DataError where either could be it.
    """
    asked = channel.asked.class_folder
    deep = [place for place in places if len(place.folders) > 1]
    if asked != AUTO:
        return asked, []
    if not deep:
        return LAST, []
    firsts, lasts = {place.folders[0] for place in deep}, {place.folders[-1] for place in deep}
    if channel.known and (firsts <= channel.known) != (lasts <= channel.known):
        return (FIRST if firsts <= channel.known else LAST), []
    holders = {place.folders for place in places}
    if all(any(place.folders[:depth] in holders for depth in range(1, len(place.folders))) for place in deep):
        return LAST, []
    if all(_GENERIC.match(name) for name in lasts):
        return FIRST, [_said(FIRST, firsts, lasts)]
    if all(_GENERIC.match(name) for name in firsts):
        return LAST, [_said(LAST, firsts, lasts)]
    above: dict[str, set[str]] = defaultdict(set)
    for place in deep:
        above[place.folders[-1]].add(place.folders[0])
    if any(len(names) > 1 for names in above.values()):
        raise DataError(
            f"can't tell the classes: pictures lie in folders of folders, and both may be the class: the first "
            f"({_some(firsts)}) or the last ({_some(lasts)}). Set the hyperparameter class_folder to first or last"
        )
    return LAST, [_said(LAST, firsts, lasts)]


def _some(names: set[str]) -> str:
    return ", ".join(map(shown, sorted(names)[:3])) + (" …" if len(names) > 3 else "")


def _said(level: str, firsts: set[str], lasts: set[str]) -> Note:
    used, other = (firsts, lasts) if level == FIRST else (lasts, firsts)
    not_level = LAST if level == FIRST else FIRST
    return Note(
        f"the {level} folder is the class ({_some(used)}); {_some(other)} are not used (class_folder={not_level} would "
        "take them)"
    )
