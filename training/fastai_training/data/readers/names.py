"""Labels from file names, as the Oxford pets have them: ``shiba_inu_12.jpg`` is a shiba_inu."""

from __future__ import annotations

import re
from collections import Counter

from fastai_training.data.labels import TEST, Example, Examples, Note
from fastai_training.data.picture_names import is_a_cameras, label_of
from fastai_training.data.readers.layout import Place, read_layout
from fastai_training.data.readers.reader import Channel, Reader
from fastai_training.quoting import shown

#: A stray picture among thousands is left out and listed; more without a label mean that names say nothing.
LEAST_LABELLED = 0.9
NO_LABEL = "no label in its name (label_number.jpg)"
#: Numbers after these are classes; after others they count patients, videos, days.
_OF_CLASSES = re.compile(r"(?:class|label|grade|stage|level|type|category|cat|digit|score)[\s_.-]*$", re.IGNORECASE)
#: So many classes of a data set aren't most of them there once.
_MANY = 10
_DIGITS = re.compile(r"\d+|(?<![^\W_])(?=[a-f]*\d)[0-9a-f]{4,}(?![^\W_])", re.IGNORECASE)


def _labelled(channel: Channel, places: list[Place], *, sure: bool) -> Examples:
    """``sure``: names that cameras give are labels too, since the user said that labels are in the names."""
    examples = Examples(channel.root, [], "names")
    unlabelled: list[Place] = []
    for place in places:
        label = label_of(place.path.stem)
        if label and (sure or not is_a_cameras(label)):
            examples.items.append(Example(place.path, label, split=place.split))
        elif place.split == TEST:
            unlabelled.append(place)
        else:
            examples.skipped.append((channel.name(place.path), NO_LABEL))
    if unlabelled:
        text = f"{len(unlabelled)} pictures of the part for testing are not used: {NO_LABEL}"
        examples.notes.append(Note(text, channel.name(unlabelled[0].path)))
    return examples


def read(channel: Channel) -> Examples:
    """Take each picture's label from its name; one whose name has none is skipped."""
    return _labelled(channel, read_layout(channel, channel.without_masks(sure=True)), sure=True)


def read_if_telling(channel: Channel, places: list[Place]) -> Examples | None:
    """Return what names say of ``places`` where it may be classes, else None."""
    examples = _labelled(channel, places, sure=False)
    if len(examples.items) < LEAST_LABELLED * (len(examples.items) + len(examples.skipped)):
        return None
    if _doubt(examples) and not set(examples.vocab) <= channel.known:
        return None
    return examples


def _detect(channel: Channel) -> Examples | None:
    return read_if_telling(channel, read_layout(channel, channel.without_masks()))


def _doubt(examples: Examples) -> str:
    """Why what the names begin with are no classes; "" where they may be."""
    counts = examples.counts()
    some = ", ".join(map(shown, sorted(counts)[:3]))
    if len(counts) >= _MANY and sum(1 for count in counts.values() if count == 1) > len(counts) / 2:
        return f"most of what names begin with ({some}) is there once"
    kinds = Counter(_DIGITS.sub("", label) for label in counts if not _OF_CLASSES.search(_DIGITS.sub("", label)))
    if kinds and sum(kinds.values()) >= 2 * len(kinds):
        return f"what names begin with differs by numbers only ({some}), as patients, videos and days do"
    return ""


def why_not(channel: Channel) -> str:
    """Say why names give no labels, for one who may have thought that they do."""
    examples = _labelled(channel, read_layout(channel, channel.without_masks()), sure=False)
    cameras = [name for name, _ in examples.skipped if label_of(name.rpartition("/")[2].rpartition(".")[0])]
    total = len(examples.items) + len(examples.skipped)
    if cameras:
        told = f"{len(cameras)} of {total} names are such as cameras give (for example {shown(cameras[0])})"
    elif examples.skipped:
        example = shown(examples.skipped[0][0])
        told = f"{len(examples.skipped)} of {total} names are not like shiba_inu_12.jpg (for example {example})"
        folders = {path.parent for path in channel.pictures}
        return told + (f", all lie in one folder, {shown(folders.pop().name)}" if len(folders) == 1 else "")
    else:
        told = _doubt(examples) or "names have none"
    return f"{told}; label_from=names takes them as they are"


READER = Reader("names", read, _detect)
