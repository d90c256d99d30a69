"""What a reader is: one way in which a channel's files say which picture is of which class."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fastai_training.data.labels import Examples
from fastai_training.data.picture_files import Tree


@dataclass(frozen=True)
class Channel:
    """A channel's folder, the picture files in it, and the hyperparameter label_column."""

    root: Path
    tree: Tree
    label_column: str = ""

    @property
    def pictures(self) -> list[Path]:
        return self.tree.pictures


@dataclass(frozen=True)
class Reader:
    """One source of labels; ``name`` is its value of the hyperparameter label_from.

    ``read`` gives the examples of a channel whose user said that labels are there, or raises DataError. ``detect``
    gives them where the files say so by themselves, and None where they don't. ``absent``: what to say
    that a channel lacks. ``lists_files``: a file of the channel says which pictures are meant, so what else was skipped
    needs no mention.
    """

    name: str
    read: Callable[[Channel], Examples]
    detect: Callable[[Channel], Examples | None]
    absent: str = ""
    lists_files: bool = False
