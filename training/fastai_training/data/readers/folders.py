"""Labels from class folders: ``shiba_inu/12.jpg`` is a shiba_inu."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from fastai_training.data.labels import TEST, Example, Examples, Note
from fastai_training.data.masks import split_off
from fastai_training.data.readers.layout import Layout, class_level, class_of, read_layout
from fastai_training.data.readers.reader import Channel, Reader
from fastai_training.quoting import shown

#: With a larger share of the pictures outside of class folders, folders say nothing of classes.
MOST_OUTSIDE = 0.5
NO_FOLDER = "not in a class folder"


def _read(channel: Channel, pictures: list[Path]) -> tuple[Examples, Layout]:
    layout = read_layout(channel, pictures)
    level, notes = class_level(channel, layout.places)
    holders = {place.folders for place in layout.places}
    items: list[Example] = []
    outside: list[tuple[str, str]] = []
    unlabelled: Counter[str] = Counter()
    for place in layout.places:
        label = class_of(place, level, holders)
        if label:
            items.append(Example(place.path, label, split=place.split))
        elif place.split == TEST:
            unlabelled[str(place.path.parent)] += 1
        else:
            outside.append((channel.name(place.path), NO_FOLDER))
    for folder, count in unlabelled.items():
        name = shown(channel.name(Path(folder)))
        notes.append(Note(f"{count} pictures in {name} are not used: they are in no class folder, so have no label"))
    examples = Examples(channel.root, items, "folders", layout.skipped + outside, [*layout.notes, *notes])
    return examples, layout


def read(channel: Channel) -> Examples:
    """Take each picture's label from the folder it lies in; those in no class folder are skipped."""
    return _read(channel, channel.pictures)[0]


def _detect(channel: Channel) -> Examples | None:
    pictures, notes = split_off(channel.tree)
    layout = read_layout(channel, pictures)
    inside = [place for place in layout.places if place.folders]
    tops = {place.folders[0] for place in inside}
    if len({place.folders for place in inside}) < 2 and not _one_known(channel, pictures):
        return None
    if not tops and not _one_known(channel, pictures):
        return None
    wanted = [place for place in layout.places if place.split != TEST]
    outside = sum(1 for place in wanted if not place.folders)
    if outside > MOST_OUTSIDE * len(wanted) and not _one_known(channel, pictures):
        return None
    if _one_known(channel, pictures) and not inside:
        label = next(iter(_parents(channel, pictures)))
        items = [Example(path, label) for path in pictures]
        return Examples(channel.root, items, "folders", [], notes)
    examples, _ = _read(channel, pictures)
    examples.notes += notes
    return examples


def _parents(channel: Channel, pictures: list[Path]) -> set[str]:
    return {path.parent.name for path in pictures if path.parent != channel.root}


def _one_known(channel: Channel, pictures: list[Path]) -> bool:
    """Whether all pictures lie in one folder that is called like a class of the training channel."""
    parents = _parents(channel, pictures)
    return len(parents) == 1 and parents <= channel.known and all(path.parent != channel.root for path in pictures)


READER = Reader("folders", read, _detect, absent="no class folders")
