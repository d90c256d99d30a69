"""Labels from file names, as the Oxford pets have them: ``shiba_inu_12.jpg`` is a shiba_inu."""

from __future__ import annotations

import re
from pathlib import Path

from fastai_training.data.labels import Example, Examples
from fastai_training.data.masks import split_off
from fastai_training.data.readers.layout import Layout, read_layout
from fastai_training.data.readers.reader import Channel, Reader

#: Everything before the last number and what parts it: shiba_inu_12, cat.0, dog (3), tea-7.
NAME_PATTERN = re.compile(r"^(?P<label>.*?[^\s_.-])(?:[\s_.-]+\d+|[\s_.-]*\(\d+\))$")
#: What cameras, phones and programs call every picture; a number follows, or a date.
_CAMERA = re.compile(
    r"^\W*(?:(?:img|imgp|image|dsc[fn]?|dscf|pict?|picture|photo|foto|frame|scan|screenshot|pxl|mvimg|gopr|dji|cimg|sam|"
    r"whatsapp[ _]image|signal|capture|snapshot|file|untitled|vid|p|n)[\s_.-]*)?(?:\d[\d\s_.:-]*)?$",
    re.IGNORECASE,
)
#: A stray picture among thousands is left out and listed; more without a label mean that names say nothing.
LEAST_LABELLED = 0.9
NO_LABEL = "no label in its name (label_number.jpg)"


def label_of(stem: str) -> str:
    """Return the label that a file's name (without suffix) has; "" for none."""
    match = NAME_PATTERN.match(stem)
    return match["label"] if match else ""


def _read(channel: Channel, pictures: list[Path]) -> tuple[Examples, Layout]:
    layout = read_layout(channel, pictures)
    items, skipped = [], list(layout.skipped)
    for place in layout.places:
        label = label_of(place.path.stem)
        if label:
            items.append(Example(place.path, label, split=place.split))
        else:
            skipped.append((channel.name(place.path), NO_LABEL))
    return Examples(channel.root, items, "names", skipped, list(layout.notes)), layout


def read(channel: Channel) -> Examples:
    """Take each picture's label from its name; one whose name has none is skipped."""
    return _read(channel, channel.pictures)[0]


def _detect(channel: Channel) -> Examples | None:
    pictures, notes = split_off(channel.tree)
    examples, layout = _read(channel, pictures)
    if len(examples.items) < LEAST_LABELLED * len(layout.places):
        return None
    if all(_CAMERA.match(label) for label in examples.counts()):  # IMG_1.jpg and DSC_2.jpg are no two classes
        return None
    examples.notes += notes
    return examples


READER = Reader("names", read, _detect)
