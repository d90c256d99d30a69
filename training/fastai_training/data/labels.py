"""Pictures with their labels: what readers find, and what the rest of training works on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from fastai_container.errors import UserError

TRAIN, VALID, TEST = "train", "valid", "test"


class DataError(UserError):
    """Pictures or labels that can't be trained on."""


def relative_name(path: Path, root: Path) -> str:
    """Return ``path`` relative to ``root``; its name alone where it lies elsewhere, as what is unpacked does."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name


@dataclass(frozen=True)
class Note:
    """Something that the user should know of the data, with one ``example`` of it, if there is one."""

    text: str
    example: str = ""


@dataclass(frozen=True)
class Example:
    """One picture and its class.

    ``group``: whose it is (a patient, a site), where the split must not part a group. ``split``: TRAIN, VALID or TEST
    where the user said which it is for, else "".
    """

    path: Path
    label: str
    group: str = ""
    split: str = ""


def _order(label: str) -> tuple[int, int, str]:
    """Class indices are in the order of numbers, names in that of their letters."""
    return (0, int(label), label) if label.isascii() and label.isdigit() and len(label) < 10 else (1, 0, label)


def vocabulary(labels: Iterable[str]) -> list[str]:
    """Return the classes of ``labels``, each once: by number where all are whole numbers, else by name."""
    found = set(labels)
    numbers = all(_order(label)[0] == 0 for label in found)
    return sorted(found, key=_order) if numbers else sorted(found)


@dataclass
class Examples:
    """The pictures of one channel.

    ``source``: where the labels come from, in words. ``skipped``: path relative to the channel and why it was left
    out. ``notes``: what else the user should know. ``digests``: hashes of the files' bytes, once they were read.
    ``class_names``: the name of each class index, where labels are indices.
    """

    root: Path
    items: list[Example]
    source: str
    skipped: list[tuple[str, str]] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    digests: dict[Path, bytes] = field(default_factory=dict)
    class_names: dict[str, str] = field(default_factory=dict)

    @property
    def vocab(self) -> list[str]:
        return vocabulary(item.label for item in self.items)

    def counts(self) -> Counter[str]:
        return Counter(item.label for item in self.items)
