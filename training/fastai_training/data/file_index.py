"""Find the file that a table's row means: by its path, its name, or the longest end of an address that is unique."""

from __future__ import annotations

import os
import unicodedata
from collections import defaultdict
from pathlib import Path

from fastai_training.data.given_split import split_of_name
from fastai_training.data.picture_files import Tree

#: Linux has no longer paths.
LONGEST_PATH = 4096
NOT_THERE = "not there"
SEVERAL = "not unique: several files have this name"


def _plain(name: str) -> str:
    """``name`` in the form that is compared: composed characters, no difference by case."""
    return unicodedata.normalize("NFC", name).casefold()


def _parts(name: str) -> list[str]:
    """The folders and the file of a name as rows have it: a path of any system, or an address."""
    text = name.strip().replace("\\", "/")
    if "://" in text:
        text = text.split("://", 1)[1].partition("/")[2]  # without the bucket
    return [part for part in text.split("/") if part not in ("", ".")]


def _common_tail(first: list[str], second: list[str]) -> int:
    count = 0
    for one, other in zip(reversed(first), reversed(second), strict=False):
        if one != other:
            break
        count += 1
    return count


def _splits(parts: list[str]) -> set[str]:
    return {split for part in parts if (split := split_of_name(part))}


class FileIndex:
    """The files of a channel by their names; ``find`` gives the one that a row means."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self._by_name: dict[str, list[tuple[str, Path]]] = defaultdict(list)
        self._by_stem: dict[str, list[tuple[str, Path]]] = defaultdict(list)
        for path in (*tree.pictures, *tree.unnamed):
            self._add(tree.relative(path), path)
        for name, path in tree.aliases.items():
            self._add(name, path)

    def _add(self, relative: str, path: Path) -> None:
        name = _plain(os.path.basename(relative))  # noqa: PTH119 - for each of very many files
        self._by_name[name].append((relative, path))
        self._by_stem[name.rpartition(".")[0] or name].append((relative, path))

    def find(self, name: str) -> tuple[Path | None, str]:
        """Return the file that ``name`` means, or None and why there is none.

        The file's name must be the same (by letters, not by case; a suffix may lack), and of several such files the
        one whose folders agree with most of the name's. A folder's name that says another split is none of them.
        """
        if not name or len(name) > LONGEST_PATH:
            return None, NOT_THERE
        parts = _parts(name)
        if not parts or ".." in parts:
            return None, NOT_THERE
        plain = [_plain(part) for part in parts]
        found = self._by_name.get(plain[-1]) or self._by_stem.get(plain[-1])
        if not found:
            return None, NOT_THERE
        if len(found) == 1 and len(parts) == 1:
            return found[0][1], ""
        return self._best(found, parts, plain)

    def _best(self, found: list[tuple[str, Path]], parts: list[str], plain: list[str]) -> tuple[Path | None, str]:
        said = _splits(parts[:-1])
        best: list[Path] = []
        best_score: tuple[int, bool, bool] = (-1, False, False)
        for relative, path in found:
            theirs = relative.split("/")
            tail = 1 + _common_tail([_plain(part) for part in theirs[:-1]], plain[:-1])
            rest = _splits(theirs[:-1])
            if tail < max(len(theirs), 1) and tail < len(parts) and said and rest and said != rest:
                continue
            score = (tail, len(theirs) == tail, theirs[-1] == parts[-1])
            if score > best_score:
                best, best_score = [path], score
            elif score == best_score and path not in best:
                best.append(path)
        if len(best) == 1:
            return best[0], ""
        return None, SEVERAL if best else NOT_THERE
