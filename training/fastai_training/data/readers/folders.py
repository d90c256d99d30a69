"""Labels from class folders: ``shiba_inu/12.jpg`` is a shiba_inu."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

from fastai_training.data.labels import TEST, DataError, Example, Examples, Note
from fastai_training.data.readers import names
from fastai_training.data.readers.layout import Place, class_level, class_of, is_part_of_all, read_layout, says_nothing
from fastai_training.data.readers.reader import AUTO, Channel, Reader
from fastai_training.quoting import shown

#: With a larger share of the pictures outside of class folders, folders say nothing of classes.
MOST_OUTSIDE = 0.5
NO_FOLDER = "not in a class folder"
_YEAR = re.compile(r"(?:19|20)\d\d$")


def _labelled(channel: Channel, places: list[Place]) -> Examples:
    examples = Examples(channel.root, [], "folders")
    level = class_level(channel, places)
    holders = {place.folders for place in places}
    unlabelled: dict[Path, list[Path]] = defaultdict(list)
    for place in places:
        if label := class_of(place, level, holders):
            examples.items.append(Example(place.path, label, split=place.split))
        elif place.split == TEST:
            unlabelled[place.path.parent].append(place.path)
        else:
            examples.skipped.append((channel.name(place.path), NO_FOLDER))
    for folder, paths in unlabelled.items():
        text = f"{len(paths)} pictures in {shown(channel.name(folder))} are not used: they are in no class folder"
        examples.notes.append(Note(text, channel.name(paths[0])))
    return examples


def read(channel: Channel) -> Examples:
    """Take each picture's label from the folder it lies in; those in no class folder are skipped."""
    return _labelled(channel, read_layout(channel, channel.without_masks(sure=True)))


def _detect(channel: Channel) -> Examples | None:
    places = read_layout(channel, channel.without_masks())
    wanted = [place for place in places if place.split != TEST]
    inside = [place for place in wanted if place.folders]
    if not inside or len(wanted) - len(inside) > MOST_OUTSIDE * len(wanted):
        return None
    if len({place.folders for place in inside}) < 2 and not {place.folders[0] for place in inside} <= channel.known:
        return None
    examples = _labelled(channel, places)
    if channel.asked.class_folder == AUTO and not set(examples.vocab) <= channel.known:
        _refuse_doubtful(channel, examples, places)
    return examples


def _refuse_doubtful(channel: Channel, examples: Examples, places: list[Place]) -> None:
    """Raise DataError for folders that are no classes by their names, which the user may mean all the same."""
    classes = examples.vocab
    some = ", ".join(map(shown, classes[:3])) + (" …" if len(classes) > 3 else "")
    # Numbers are as good as any other name, but for years.
    collections = [name for name in classes if says_nothing(name) and (not name.isdigit() or _YEAR.match(name))]
    told = names.read_if_telling(channel, places) if collections else None
    of_path = {item.path: item.label for item in told.items} if told else {}
    for folder in collections:
        inside = [item.path for item in examples.items if item.label == folder]
        labels = sorted({of_path[path] for path in inside if path in of_path})
        if len(labels) > 1:
            raise DataError(
                f"can't tell the labels: the folders ({some}) may be the classes, or what the names of the pictures in "
                f"{shown(folder)} begin with ({', '.join(map(shown, labels[:3]))}): set label_from to folders or names"
            )
    if all(map(is_part_of_all, classes)):
        raise DataError(
            f"the folders ({some}) are called as parts of a collection are, which says nothing of classes; set "
            "label_from=folders if they are the classes, or arrange the pictures in a folder for each class"
        )


READER = Reader("folders", read, _detect, absent="no class folders", uses=frozenset({"class_folder"}))
