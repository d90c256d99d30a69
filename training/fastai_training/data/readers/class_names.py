"""Names for the class indices of lists and record files: from a file of names, or from the folders of the paths."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from fastai_training.data.labels import DataError, Note
from fastai_training.data.readers.reader import Channel
from fastai_training.quoting import shown

#: A line a class, in the order of the indices; ``synset.txt`` is what MXNet's tools call it.
NAME_FILES = ("classes.txt", "synset.txt", "labels.txt", "class_names.txt")
#: 0 cat: the line says itself which index it is for.
_NUMBERED = re.compile(r"^(\d+)[\s:,;]+(\S.*)$")


def _of_file(channel: Channel, folders: Sequence[Path]) -> tuple[dict[str, str], str]:
    """The names by index, and the file that they are in. Raises DataError."""
    paths = [path for folder in dict.fromkeys(folders) for name in NAME_FILES if (path := folder / name).is_file()]
    if not paths:
        return {}, ""
    name = channel.name(paths[0])
    try:
        lines = paths[0].read_text(encoding="utf-8-sig").rstrip().splitlines()
    except (OSError, UnicodeError) as error:
        raise DataError(f"the classes' names in {shown(name)} can't be read: {error}; save it as UTF-8") from None
    names = [line.strip() for line in lines]
    if "" in names:
        raise DataError(f"{shown(name)}: line {names.index('') + 1} is empty; a line has the name of each class")
    twice = [text for text, count in Counter(names).items() if count > 1]
    if twice:
        raise DataError(f"{shown(name)} has the name {shown(twice[0])!r} twice; each class needs a name of its own")
    for path in paths:
        channel.tree.use(path)
    if paths[1:]:
        channel.notes.append(Note(f"{shown(channel.name(paths[1]))} is not used: {shown(name)} names the classes"))
    numbered = [match.groups() for text in names if (match := _NUMBERED.match(text))]
    if len(numbered) == len(names) == len({int(number) for number, _ in numbered}):
        return {str(int(number)): text for number, text in numbered}, name
    return {str(index): text for index, text in enumerate(names)}, name


def _of_folders(indices: Sequence[str], paths: Sequence[str]) -> dict[str, str]:
    """The folder of each index, where every index has one of its own."""
    folders: dict[str, set[str]] = defaultdict(set)
    for index, path in zip(indices, paths, strict=True):
        folders[index].add(path.replace("\\", "/").rpartition("/")[0].rpartition("/")[2])
    names = {index: next(iter(found)) for index, found in folders.items() if len(found) == 1}
    unique = len(set(names.values())) == len(folders) == len(names) > 1
    return names if unique and all(names.values()) else {}


def _some(names: Mapping[str, str]) -> str:
    return ", ".join(f"{index} is {name}" for index, name in list(names.items())[:3])


def name_classes(
    channel: Channel, folders: Sequence[Path], indices: Sequence[str], paths: Sequence[str]
) -> tuple[dict[str, str], list[Note]]:
    """Return the name of each class index, and what to say of where it comes from.

    ``folders``: where a file of names may lie; ``indices``: each picture's class index as text; ``paths``: its path,
    "" where there is none. What training calls them goes before all else. Raises DataError when a file of names has
    too few, or other names than training.
    """
    wanted = sorted(set(indices), key=int)
    names, file = _of_file(channel, folders)
    if file and (unknown := [index for index in wanted if index not in names]):
        raise DataError(
            f"{shown(file)} has {len(names)} names, none for class {unknown[0]}; give it a line for each class, that "
            "of class 0 first"
        )
    by_folder = {} if file or not all(paths) else _of_folders(indices, paths)
    if channel.class_names:
        own = names or by_folder
        for index in wanted:
            if index in own and own[index] != channel.class_names.get(index, own[index]) != index:
                raise DataError(
                    f"class {index} is {shown(own[index])} by {shown(file or 'the folders of the paths')}, but "
                    f"{shown(channel.class_names[index])} in the training channel; number the classes the same way"
                )
        return {index: channel.class_names.get(index, own.get(index, index)) for index in wanted}, []
    if file:
        left = len(names) - len(wanted)
        text = f"classes are named by {shown(file)}" + (f"; {left} of its names have no picture" if left else "")
        return {index: names[index] for index in wanted}, [Note(text, _some(names))]
    if by_folder:
        return by_folder, [Note("classes are named by the folders of the paths", _some(by_folder))]
    return {index: index for index in wanted}, [
        Note(f"classes are called by their numbers; {NAME_FILES[0]} in the channel (a line a class) gives them names")
    ]
