"""Labels from class folders: ``shiba_inu/12.jpg`` is a shiba_inu."""

from __future__ import annotations

from fastai_training.data.labels import DataError, Example, Examples
from fastai_training.data.readers.reader import Channel, Reader

#: A folder that a user split already; mixing its parts would train on the validation pictures.
SPLIT_NAMES = {"train", "training", "valid", "val", "validation", "test"}
#: At most every so many pictures may lie outside of the class folders.
MOST_OUTSIDE = 20


def read(channel: Channel) -> Examples:
    """Take each picture's label from the folder it lies in; those in the channel's own folder are skipped."""
    items, skipped = [], []
    for path in channel.pictures:
        if path.parent == channel.root:
            skipped.append((path.name, "not in a class folder"))
        else:
            items.append(Example(path, path.parent.name))
    return Examples(channel.root, items, "folders", skipped)


def _detect(channel: Channel) -> Examples | None:
    inside = [path for path in channel.pictures if path.parent != channel.root]
    tops = {path.relative_to(channel.root).parts[0].lower() for path in inside}
    if len(tops) > 1 and tops <= SPLIT_NAMES:
        raise DataError(
            f"the channel holds {' and '.join(sorted(tops))} folders: pass them as two channels, "
            "training and validation, so that no validation picture is trained on"
        )
    outside = len(channel.pictures) - len(inside)
    several = len({path.parent for path in inside}) > 1
    return read(channel) if several and outside <= len(channel.pictures) // MOST_OUTSIDE else None


READER = Reader("folders", read, _detect, absent="no class folders")
