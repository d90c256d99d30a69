"""Labels from class folders: ``shiba_inu/12.jpg`` is a shiba_inu."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from fastai_training.data.labels import TEST, Example, Examples, Note
from fastai_training.data.readers.layout import Place, class_level, class_of, read_layout
from fastai_training.data.readers.reader import Channel, Reader
from fastai_training.quoting import shown

#: With a larger share of the pictures outside of class folders, folders say nothing of classes.
MOST_OUTSIDE = 0.5
NO_FOLDER = "not in a class folder"


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
    return _labelled(channel, places)


READER = Reader("folders", read, _detect, absent="no class folders")
