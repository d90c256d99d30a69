"""How a channel's folders are arranged: what they all lie in, the parts of a split, and the folders of the classes."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fastai_training.data.given_split import split_of_name, splits_of_siblings
from fastai_training.data.labels import DataError, Note
from fastai_training.data.readers.reader import AUTO, Channel
from fastai_training.quoting import shown

FIRST, LAST = "first", "last"
_COUNTED = (
    r"(?:batch|part|day|session|set|folder|group|site|seq|sequence|fold|patient|subject|case|slide|video|clip|cam|camera|"
    r"view|scene|study|series|visit|week|month)"
)
#: Folders that say nothing of a class: collections, years, dates, numbers, whose pictures they are.
_GENERIC = re.compile(
    r"^(?:(?:images?|imgs?|pictures?|pics?|photos?|jpe?gs?|pngs?|raw|all|data|files?|originals?|frames?|crops?|"
    rf"{_COUNTED})[\s_.-]*\d*|\d[\d\s_.-]*)$",
    re.IGNORECASE,
)
#: The parts of a collection, by number or day; 100CANON is a camera's.
_PART_OF_ALL = re.compile(
    rf"^(?:{_COUNTED}[\s_.-]*\d+|\d{{3}}[a-z_]{{5}}|photos from \d{{4}}|(?:19|20)\d\d[-_.]?\d\d[-_.]?\d\d)$",
    re.IGNORECASE,
)
Folders = tuple[str, ...]


@dataclass(frozen=True)
class Place:
    """A picture; the ``folders`` it lies in, without what all lie in and without the split; its ``split``, or ""."""

    path: Path
    folders: Folders
    split: str


def says_nothing(folder: str) -> bool:
    """Return whether a folder is called as collections of pictures are: images, 2023, patient_1."""
    return bool(_GENERIC.match(folder))


def is_part_of_all(folder: str) -> bool:
    """Return whether a folder is called as a numbered or dated part of a collection is: batch_1, 2023-01-31."""
    return bool(_PART_OF_ALL.match(folder))


def _common(folders: Sequence[Folders]) -> int:
    """How many folders all have in common."""
    if not folders:
        return 0
    low, high = min(folders), max(folders)
    count = 0
    while count < min(len(low), len(high)) and low[count] == high[count]:
        count += 1
    return count


def read_layout(channel: Channel, pictures: list[Path]) -> list[Place]:
    """Arrange ``pictures`` by the channel's folders; what lies outside of a split's parts is noted and left out.

    A split is where a folder has one for training and another one beside it (``given_split.splits_of_siblings``): all
    of the data lie in it, or each class has its own. Raises DataError where some classes have one and others don't.
    """
    folders = [tuple(channel.name(path).split("/")[:-1]) for path in pictures]
    parents = _split_parents(folders)
    if parents:
        return _with_splits(channel, pictures, folders, parents)
    depth = _common(folders)
    if channel.known and folders:  # all pictures of a class that training has: its folder is what all have in common
        depth = next((place for place, name in enumerate(folders[0][:depth]) if name in channel.known), depth)
    return [Place(path, one[depth:], "") for path, one in zip(pictures, folders, strict=True)]


def _split_parents(folders: Iterable[Folders]) -> dict[Folders, dict[str, tuple[str, str]]]:
    """The folders that have the parts of a split in them, but for those below such a part or beside it."""
    children: dict[Folders, set[str]] = defaultdict(set)
    for one in set(folders):
        for depth, name in enumerate(one):
            children[one[:depth]].add(name)
    found = {parent: splits for parent, names in children.items() if (splits := splits_of_siblings(names))}
    return {
        parent: splits
        for parent, splits in found.items()
        if not any(parent[:depth] in found for depth in range(len(parent)))
    }


def _with_splits(
    channel: Channel,
    pictures: list[Path],
    folders: list[Folders],
    parents: dict[Folders, dict[str, tuple[str, str]]],
) -> list[Place]:
    base = _common(list(parents))
    of_part: dict[Folders, list[tuple[Path, Folders]]] = defaultdict(list)
    outside: dict[str, list[Path]] = defaultdict(list)
    for path, one in zip(pictures, folders, strict=True):
        for depth in range(len(one)):
            if one[depth] in parents.get(one[:depth], ()):
                of_part[one[: depth + 1]].append((path, one[depth + 1 :]))
                break
        else:
            outside["/".join(one[: base + 1])].append(path)
    below = {rest[0] for found in of_part.values() for _, rest in found if rest}
    if len(parents) > 1 or (not below and base > _common(folders)):
        _refuse_several(parents, outside, below)
    places: list[Place] = []
    counts: Counter[str] = Counter()
    for part, found in of_part.items():
        *above, name = part
        split, rest = parents[tuple(above)][name]
        before = (*above[base:], *([rest] if rest else []))
        wrapped = _is_wrapped([below for _, below in found], name, split)
        places += [Place(path, before + below[wrapped:], split) for path, below in found]
        counts[name] += len(found)
    told = ", ".join(f"{shown(name)} ({count})" for name, count in counts.items())
    channel.notes.append(Note(f"the folders {told} are a split, used as it is"))
    for top, paths in outside.items():
        where = f"in {shown(top)}" if top else "beside the folders"
        text = f"{len(paths)} pictures {where} are not used, since they are in no part of the split"
        channel.notes.append(Note(text, channel.name(paths[0])))
    return places


def _refuse_several(parents: Iterable[Folders], outside: Iterable[str], below: set[str]) -> None:
    """Raise DataError for several splits that are not those of the classes.

    ``outside``: folders without a split; ``below``: what lies in the parts of the splits.
    """
    have = _some({"/".join(one) for one in parents})
    if lack := sorted(outside):
        raise DataError(
            f"some folders have a split in them ({have}), others have none ({_some(set(lack)) or '.'}): give each the "
            "folders train and val, or none"
        )
    if len({name for name in below if not says_nothing(name)}) > 1:
        raise DataError(
            f"several folders have a split and classes in them ({have}); leave one, or merge them: what one trains on "
            "may be what the other validates on"
        )


def _is_wrapped(folders: list[Folders], part: str, split: str) -> bool:
    """Whether all of a split's part lies in one more folder that says nothing: train/train, train/images/cat."""
    names = {below[0] if below else "" for below in folders}
    if len(names) > 1:
        return False
    (name,) = names
    if name == part or (name and split_of_name(name) == split):
        return True
    return says_nothing(name) and all(len(below) > 1 for below in folders)


def class_of(place: Place, level: str, holders: set[Folders]) -> str:
    """Return the class of a picture by its folders; "" for one that lies in none.

    ``holders``: folders that hold pictures themselves; below such a folder all belongs to it.
    """
    if not place.folders:
        return ""
    if level == FIRST:
        return place.folders[0]
    holder = _holder(place, holders)
    return holder[-1] if holder else place.folders[-1]


def _holder(place: Place, holders: set[Folders]) -> Folders:
    """The folder above the picture's own that has pictures too; () for none."""
    return next(
        (place.folders[:depth] for depth in range(1, len(place.folders)) if place.folders[:depth] in holders), ()
    )


def class_level(channel: Channel, places: list[Place]) -> str:
    """Return whether the first or the last folder is the class, where pictures lie in folders of folders.

    The one that says something: years, numbers, "images" don't. Raises DataError where either could be it.
    """
    asked = channel.asked.class_folder
    if asked == LAST:
        _note_versions(channel, places)
    if asked != AUTO:
        return asked
    holders = {place.folders for place in places}
    deep = [place for place in places if len(place.folders) > 1]
    below = [place for place in deep if _holder(place, holders)]
    if below:
        names = shown("/".join(below[0].folders)), shown(_holder(below[0], holders)[-1])
        text = f"{len(below)} pictures in folders below a class folder belong to it ({names[0]} to {names[1]})"
        channel.notes.append(Note(text, channel.name(below[0].path)))
        deep = [place for place in deep if not _holder(place, holders)]
    if not deep:
        return LAST
    firsts, lasts = {place.folders[0] for place in deep}, {place.folders[-1] for place in deep}
    flat = {place.folders[0] for place in places if len(place.folders) == 1}
    level = _level(channel, firsts, lasts, flat)
    if len(firsts) > 1 or level == FIRST:
        used, other = (firsts, lasts) if level == FIRST else (lasts, firsts)
        text = f"the {level} folder is the class ({_some(used)}); {_some(other)} are not used (class_folder="
        channel.notes.append(Note(f"{text}{LAST if level == FIRST else FIRST} would take them)"))
    return level


def _note_versions(channel: Channel, places: list[Place]) -> None:
    """Say where one class has files of the same name in several first folders, as versions of one picture have."""
    found: dict[tuple[str, str], set[str]] = defaultdict(set)
    for place in places:
        if len(place.folders) > 1 and not place.split:
            found[place.folders[-1], place.path.stem].add(place.folders[0])
    several = {of: firsts for of, firsts in found.items() if len(firsts) > 1}
    if several and not channel.asked.group_from:
        (label, stem), firsts = next(iter(several.items()))
        text = f"{len(several)} names are there in several folders ({_some(firsts)}); if these hold versions of one "
        text += "picture, the split parts them and the error that is measured is too low: use one of the folders"
        channel.notes.append(Note(text, f"{label}/{stem}"))


def _level(channel: Channel, firsts: set[str], lasts: set[str], flat: set[str]) -> str:
    """``firsts`` and ``lasts``: of the pictures in folders of folders; ``flat``: the folders that hold pictures."""
    if channel.known and (firsts <= channel.known) != (lasts <= channel.known):
        return FIRST if firsts <= channel.known else LAST
    first_says_nothing = len(firsts | flat) == 1 or all(map(says_nothing, firsts))
    last_says_nothing = len(lasts) == 1 or all(map(says_nothing, lasts))
    if last_says_nothing and not first_says_nothing:
        return FIRST
    if first_says_nothing and not last_says_nothing and not flat:
        return LAST
    raise DataError(
        f"can't tell the classes: pictures lie in folders of folders, and both may be the class: the first "
        f"({_some(firsts | flat)}) or the last ({_some(lasts | flat)}). Set the hyperparameter class_folder to first "
        "or last"
    )


def _some(names: set[str]) -> str:
    return ", ".join(map(shown, sorted(names)[:3])) + (" …" if len(names) > 3 else "")
