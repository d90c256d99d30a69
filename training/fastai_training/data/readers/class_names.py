"""Names for the class indices of lists and record files: from a file of names, or from the folders of the paths."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from fastai_training.data.labels import DataError, Note
from fastai_training.quoting import shown

#: A line a class, in the order of the indices; ``synset.txt`` is what MXNet's tools call it.
NAME_FILES = ("classes.txt", "synset.txt", "labels.txt", "class_names.txt")


def _of_file(folder: Path) -> tuple[dict[str, str], str]:
    for name in NAME_FILES:
        path = folder / name
        if path.is_file():
            try:
                lines = path.read_text(encoding="utf-8-sig").splitlines()
            except (OSError, UnicodeError) as error:
                raise DataError(f"the classes' names in {shown(name)} can't be read: {error}") from None
            names = [line.strip() for line in lines if line.strip()]
            return {str(index): text for index, text in enumerate(names)}, name
    return {}, ""


def _of_folders(indices: Sequence[str], paths: Sequence[str]) -> dict[str, str]:
    """The folder of each index, where every index has one of its own."""
    folders: dict[str, set[str]] = defaultdict(set)
    for index, path in zip(indices, paths, strict=True):
        folders[index].add(path.replace("\\", "/").rpartition("/")[0].rpartition("/")[2])
    names = {index: next(iter(found)) for index, found in folders.items() if len(found) == 1}
    unique = len(set(names.values())) == len(folders) == len(names) > 1
    return names if unique and all(names.values()) else {}


def name_classes(folders: Sequence[Path], indices: Sequence[str], paths: Sequence[str]) -> tuple[list[str], list[Note]]:
    """Return the name of each row's class, and what to say of where it comes from.

    ``indices``: class indices as text; ``paths``: the pictures' paths, "" where there is none. Raises DataError when a
    file of names has too few.
    """
    for folder in folders:
        names, file = _of_file(folder)
        if file:
            return _named(names, indices, file), [
                Note(f"classes are named by {file}", ", ".join(list(names.values())[:3]))
            ]
    names = _of_folders(indices, paths) if all(paths) else {}
    if names:
        told = ", ".join(f"{index} is {name}" for index, name in sorted(names.items())[:3])
        return [names[index] for index in indices], [Note("classes are named by the folders of the paths", told)]
    return list(indices), [
        Note(f"classes are called by their numbers; {NAME_FILES[0]} in the channel (a line a class) gives them names")
    ]


def _named(names: Mapping[str, str], indices: Sequence[str], file: str) -> list[str]:
    unknown = sorted({index for index in indices if index not in names})
    if unknown:
        raise DataError(f"{shown(file)} has {len(names)} names, none for class {unknown[0]}; a line for each class")
    return [names[index] for index in indices]
