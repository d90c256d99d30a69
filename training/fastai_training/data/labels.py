"""Pictures with their labels: what readers find, and what the rest of training works on."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from fastai_container.errors import UserError


class DataError(UserError):
    """Pictures or labels that can't be trained on."""


@dataclass(frozen=True)
class Example:
    """One picture and its class. ``group``: whose it is (a patient, a site), where the split must not part a group."""

    path: Path
    label: str
    group: str = ""


@dataclass
class Examples:
    """The pictures of one channel. ``skipped``: path relative to the channel and why it was left out."""

    root: Path
    items: list[Example]
    source: str
    skipped: list[tuple[str, str]] = field(default_factory=list)

    @property
    def vocab(self) -> list[str]:
        return sorted({item.label for item in self.items})

    def counts(self) -> Counter[str]:
        return Counter(item.label for item in self.items)
