"""Find the pictures of a channel and their labels, by the reader that its files or the user ask for."""

from __future__ import annotations

from pathlib import Path

from fastai_container.model_folder import vocabulary_fault
from fastai_container.pictures import SUFFIXES
from fastai_training.data.labels import DataError, Example, Examples
from fastai_training.data.picture_files import Tree, read_tree
from fastai_training.data.readers import READERS, names
from fastai_training.data.readers.reader import Channel, Reader
from fastai_training.quoting import shown

AUTO = "auto"
#: A longer label is no class's name, but a column of something else.
LONGEST_LABEL = 200


def _read_pictures(root: Path) -> Tree:
    """The picture files below ``root``. Raises DataError when there are none."""
    if not root.is_dir():
        raise DataError(f"there is no folder {root}")
    tree = read_tree(root)
    if not tree.pictures:
        found = sorted(path.name for path in root.iterdir())
        held = f"it holds {', '.join(map(shown, found[:5]))}" if found else "it is empty"
        held += "".join(f"; {shown(name)}: {why}" for name, why in tree.skipped[:3])
        raise DataError(f"no pictures in {root} ({held}); picture files end in {', '.join(sorted(SUFFIXES))}")
    return tree


def _detect(channel: Channel) -> tuple[Reader, Examples]:
    """The first reader whose files are there, and what it reads. Raises DataError when there is none."""
    for reader in READERS.values():
        if (examples := reader.detect(channel)) is not None:
            return reader, examples
    unnamed = names.read(channel).skipped
    absent = " and ".join(reader.absent for reader in reversed(READERS.values()) if reader.absent)
    raise DataError(
        f"can't tell the labels: {len(unnamed)} of {len(channel.pictures)} names are not like shiba_inu_12.jpg "
        f"(for example {shown(unnamed[0][0])}), there are {absent}. Arrange the "
        "pictures in a folder for each class, or add a manifest (.csv with file and label)"
    )


def _check(examples: Examples, pictures: int) -> None:
    """Raises DataError for labels that can't be the classes of a model, before anything is trained."""
    long = next((item for item in examples.items if len(item.label) > LONGEST_LABEL), None)
    if long is not None:
        raise DataError(
            f"{shown(long.path.name)} has a label of {len(long.label):,} characters (by {examples.source}); a class's "
            f"name has at most {LONGEST_LABEL}: is this the column of the labels?"
        )
    if len(examples.vocab) < 2:
        held = f"only the class {examples.vocab[0]!r}" if examples.items else "no labelled picture"
        *others, last = reversed(READERS)
        raise DataError(
            f"labels from {examples.source} give {held} ({len(examples.skipped)} of {pictures} pictures have "
            "none); at least two classes are needed: check the folder, or set label_from to "
            f"{', '.join(others)} or {last}"
        )
    if fault := vocabulary_fault(examples.vocab):  # what serving would refuse
        raise DataError(f"labels from {examples.source} can't be classes: the vocabulary {fault}")


def find_examples(root: Path, label_from: str = AUTO, label_column: str = "") -> Examples:
    """Find the labelled pictures of a channel's folder.

    ``label_from``: a name of ``READERS``, or auto for the first of them whose files are there. Raises DataError when
    there are no pictures, no labels, or only one class.
    """
    channel = Channel(root, _read_pictures(root), label_column)
    if label_from == AUTO:
        reader, examples = _detect(channel)
    else:
        reader = READERS[label_from]
        examples = reader.read(channel)
    if not reader.lists_files:
        examples.skipped += channel.tree.skipped
    # A folder's name need not be UTF-8, but a class's must: it is written as JSON.
    examples.items = [Example(item.path, item.label.encode("utf-8", "replace").decode()) for item in examples.items]
    _check(examples, len(channel.pictures))
    return examples
