"""Training pictures that are checked while they are first decoded, not in a pass of their own before training.

Where a channel comes over the network as it is read (FastFile), that pass would read all of it before the first batch.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from fastai_container.pictures import PictureError, open_picture
from fastai_training.data.labels import DataError, Example, relative_name
from fastai_training.data.verification import MOST_UNREADABLE, picture_bytes
from fastai_training.hyperparameters import HyperParameters
from fastai_training.quoting import shown

Item = TypeVar("Item")

#: With more training pictures than these ``check_pictures=auto`` is ``while_training``.
MANY = 20_000
#: So many of them are looked at before training all the same: a set that was copied badly is told of at once.
SAMPLED = 256
#: After training so many are opened again to say what is wrong with each.
MOST_REASONS = 100
UNSEEN, READ, UNREADABLE = 0, 1, 2


class UnreadableError(ValueError):
    """A picture that can't be decoded; a loader's worker hands it on by its text alone."""


def is_wanted(parameters: HyperParameters, *, fast_file: bool, pictures: int) -> bool:
    """Whether ``pictures`` training pictures are checked while training; ``fast_file``: they come in that mode."""
    if parameters.check_pictures == "auto":
        # Folds decode every picture before training: there is nothing to be saved.
        return not parameters.folds and (fast_file or pictures > MANY)
    return parameters.check_pictures == "while_training"


def sampled(items: Sequence[Example]) -> list[Example]:
    """At most SAMPLED of ``items``, evenly spread."""
    count = min(SAMPLED, len(items))
    return [items[place * len(items) // count] for place in range(count)]


class LateCheck:
    """What is known of each of the training pictures ``items``, decoded for a square of ``side`` pixels.

    The memory is anonymous and shared: workers forked from this process write to it. With ``strict`` the first picture
    that can't be read ends the job.
    """

    def __init__(self, items: Sequence[Example], side: int, *, strict: bool) -> None:
        self.items, self.side, self.strict = list(items), side, strict
        self.max_bytes = picture_bytes()
        self.marks = np.frombuffer(mmap.mmap(-1, len(self.items)), dtype=np.uint8)

    def read(self, number: int, opened: Callable[[int], Item]) -> Item:
        """What ``opened`` makes of picture ``number``, or else of the next one after it that can be read.

        Which one stands in for it is the same whoever asks, and whenever. ``opened`` raises UnreadableError; so does
        this when none can be read or, with ``strict``, at once.
        """
        for step in range(len(self.items)):
            place = (number + step) % len(self.items)
            if self.marks[place] == UNREADABLE:
                continue
            try:
                item = opened(place)
            except UnreadableError:
                self.marks[place] = UNREADABLE
                if self.strict:
                    raise
            else:
                self.marks[place] = READ
                return item
        raise UnreadableError("none of the training pictures can be read")

    def refusal(self) -> DataError:
        """What is told where ``read`` raised."""
        bad = self._unreadable()
        if len(bad) == len(self.items):
            return DataError(f"none of the {len(bad)} training pictures can be read; check how the files were copied")
        path = self.items[bad[0]].path
        return DataError(
            f"the training picture {shown(str(path))} can't be read and strict is set: {self._reason(path)}"
        )

    def state(self) -> np.ndarray:
        """For a checkpoint and for other processes; ``merge`` takes it."""
        return self.marks.copy()

    def merge(self, states: Iterable[np.ndarray]) -> None:
        """Add what other processes, or this run before it was stopped, know."""
        for state in states:
            np.maximum(self.marks, state, out=self.marks)

    def require_enough(self) -> None:
        """Raises DataError when most of the pictures that were seen can't be read."""
        bad, seen = len(self._unreadable()), int((self.marks != UNSEEN).sum())
        if bad > MOST_UNREADABLE * seen:
            path = self.items[self._unreadable()[0]].path
            raise DataError(
                f"{bad} of the {seen} training pictures seen so far can't be read: {shown(str(path))}: "
                f"{self._reason(path)}; check how the files were copied"
            )

    def readable(self) -> list[Example]:
        """The pictures that nothing bad is known of."""
        return [item for item, mark in zip(self.items, self.marks, strict=True) if mark != UNREADABLE]

    def left_out(self, root: Path) -> list[tuple[str, str]]:
        """The pictures that could not be read, by their names in the channel's folder ``root``, and why."""
        paths = [self.items[number].path for number in self._unreadable()]
        return [
            (relative_name(path, root), self._reason(path) if place < MOST_REASONS else "can't be read")
            for place, path in enumerate(paths)
        ]

    def _unreadable(self) -> list[int]:
        return [int(number) for number in np.flatnonzero(self.marks == UNREADABLE)]

    def _reason(self, path: Path) -> str:
        """Workers leave a mark alone: what is wrong is found out again."""
        try:
            open_picture(path, self.side, max_bytes=self.max_bytes)
        except PictureError as error:
            return str(error)
        return "could not be read when it was wanted, but can be now"
