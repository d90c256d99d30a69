"""What a reader is: one way in which a channel's files say which picture is of which class."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from fastai_training.data.file_index import FileIndex
from fastai_training.data.labels import Examples, Note
from fastai_training.data.masks import split_off
from fastai_training.data.picture_files import Tree

AUTO = "auto"


@dataclass(frozen=True)
class Asked:
    """What the user said of labels; each is the hyperparameter of that name, "" where it was not given."""

    label_from: str = AUTO
    label_column: str = ""
    label_delim: str = ""
    manifest: str = ""
    class_folder: str = AUTO
    min_label_confidence: float = 0.0
    valid_fold: str = ""
    group_column: str = ""
    group_from: str = ""


@dataclass(frozen=True)
class Channel:
    """A channel's folder, the files in it, and what the user said of labels.

    ``labels``: tables and lists that came in a channel of their own. ``known``: the classes of the training channel,
    where another is read, and ``class_names`` what training calls the class indices. ``notes`` takes what a reader has
    to say whether or not it is the one that is used.
    """

    root: Path
    tree: Tree
    asked: Asked = Asked()
    labels: tuple[Path, ...] = ()
    known: frozenset[str] = frozenset()
    class_names: Mapping[str, str] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)

    @property
    def pictures(self) -> list[Path]:
        return self.tree.pictures

    @property
    def tables(self) -> list[Path]:
        """Files that may hold labels; those of a channel of their own are meant, so then there are no others."""
        return list(self.labels) or self.tree.tables

    @cached_property
    def index(self) -> FileIndex:
        return FileIndex(self.tree)

    def without_masks(self, *, sure: bool = False) -> list[Path]:
        """Return the pictures without masks, which are noted; ``sure`` as ``masks.split_off`` has it."""
        pictures, notes = split_off(self.tree, sure=sure)
        self.notes.extend(notes)
        return pictures

    def name(self, path: Path) -> str:
        """Return ``path`` relative to the channel's folder."""
        return self.tree.relative(path)


@dataclass(frozen=True)
class Reader:
    """One source of labels; ``name`` is its value of the hyperparameter label_from.

    ``read`` gives the examples of a channel whose user said that labels are there, or raises DataError. ``detect``
    gives them where the files say so by themselves, and None where they don't. ``absent``: what to say
    that a channel lacks. ``lists_files``: a file of the channel says which pictures are meant, so what else was skipped
    needs no mention of each. ``uses``: what of ``Asked`` it goes by, or says itself that it can't.
    """

    name: str
    read: Callable[[Channel], Examples]
    detect: Callable[[Channel], Examples | None]
    absent: str = ""
    lists_files: bool = False
    uses: frozenset[str] = frozenset()
