"""Labels from file names, as the Oxford pets have them: ``shiba_inu_12.jpg`` is a shiba_inu."""

from __future__ import annotations

import re

from fastai_training.data.labels import Example, Examples
from fastai_training.data.readers.reader import Channel, Reader

#: Everything before the last underscore and number.
NAME_PATTERN = re.compile(r"^(?P<label>.+)_\d+$")
#: A stray picture among thousands is left out and listed; more without a label mean that names say nothing.
LEAST_LABELLED = 0.9


def read(channel: Channel) -> Examples:
    """Take each picture's label from its name; one whose name has none is skipped."""
    items, skipped = [], []
    for path in channel.pictures:
        match = NAME_PATTERN.match(path.stem)
        if match:
            items.append(Example(path, match["label"]))
        else:
            skipped.append((str(path.relative_to(channel.root)), "no label in its name (label_number.jpg)"))
    return Examples(channel.root, items, "names", skipped)


def _detect(channel: Channel) -> Examples | None:
    examples = read(channel)
    return examples if len(examples.items) >= LEAST_LABELLED * len(channel.pictures) else None


READER = Reader("names", read, _detect)
