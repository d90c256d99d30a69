"""Find the file that a table's row means: by its path, its name, or the longest end of an address that is unique."""

from __future__ import annotations

import os
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from fastai_training.data.given_split import split_of_name
from fastai_training.data.picture_files import Tree

#: Linux has no longer paths.
LONGEST_PATH = 4096
#: Files of one name; where there are more, only the closest are compared.
MANY = 100
NOT_THERE = "not there"
SEVERAL = "not unique: several files have this name"


@dataclass(frozen=True)
class Match:
    """The file that a name means, or None and ``why`` there is none.

    ``parts``: the folders and the file of the name. ``agreed``: how many of them, from the end, are the file's too.
    """

    path: Path | None
    why: str = ""
    parts: tuple[str, ...] = ()
    agreed: int = 0

    @property
    def whole(self) -> bool:
        """Whether all of the name is the end of the file's path."""
        return self.agreed == len(self.parts)


def _plain(name: str) -> str:
    """``name`` in the form that is compared: composed characters, no difference by case."""
    return unicodedata.normalize("NFC", name).casefold()


def _parts(name: str) -> list[str]:
    """The folders and the file of a name as rows have it: a path of any system, or an address."""
    text = name.strip().replace("\\", "/")
    if "://" in text:
        text = text.split("://", 1)[1].partition("/")[2]  # without the bucket
    parts: list[str] = []
    for part in text.split("/"):
        if part == "..":  # what lies above the channel is not known, so the rest is looked for
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    return parts


def _of_address(name: str) -> str:
    """A web address without its query, and with the characters that its codes stand for."""
    return unquote(name.partition("?")[0].partition("#")[0])


def _common_tail(first: Sequence[str], second: Sequence[str]) -> int:
    count = 0
    for one, other in zip(reversed(first), reversed(second), strict=False):
        if one != other:
            break
        count += 1
    return count


def _splits(parts: Sequence[str]) -> set[str]:
    return {split for part in parts if (split := split_of_name(part))}


class FileIndex:
    """The files of a channel by their names; ``match`` gives the one that a row means."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self._by_name: dict[str, list[tuple[str, Path]]] = defaultdict(list)
        self._by_stem: dict[str, list[tuple[str, Path]]] = defaultdict(list)
        #: For a name that very many files have, the files by every end of their folders.
        self._by_end: dict[str, defaultdict[tuple[str, ...], list[tuple[str, Path]]]] = {}
        #: Every end of the path of a folder that holds pictures.
        self._folders: set[tuple[str, ...]] = set()
        folders = set()
        for path in (*tree.pictures, *tree.unnamed):
            folders.add(self._add(tree.relative(path), path))
        for name, path in tree.aliases.items():
            folders.add(self._add(name, path))
        for folder in folders:
            parts = tuple(_plain(part) for part in folder.split("/"))
            self._folders.update(parts[start:] for start in range(len(parts)))

    def _add(self, relative: str, path: Path) -> str:
        """Add a file, and return the folder it lies in."""
        folder, _, last = relative.rpartition("/")
        name = _plain(last)
        self._by_name[name].append((relative, path))
        self._by_stem[os.path.splitext(name)[0]].append((relative, path))  # noqa: PTH122 - for each of very many files
        return folder

    def find(self, name: str) -> tuple[Path | None, str]:
        """Return the file that ``name`` means, or None and why there is none."""
        match = self.match(name)
        return match.path, match.why

    def match(self, name: str, folder: str = "", split: str = "") -> Match:
        """Find the file that ``name`` means.

        The file's name must be the same (by letters, not by case; a suffix may lack), and of several such files the
        one whose folders agree with most of the name's. None where the name's folders are in the channel and the file
        isn't in them, or where a folder's name says another split.

        ``folder``: where the table lies that has the name, which may be relative to it. ``split``: that of the table's
        own name, which decides between files that are alike in all else.
        """
        match = self._match(name, folder, split)
        if match.path is None and "://" in name and len(name) <= LONGEST_PATH and (other := _of_address(name)) != name:
            return self._match(other, folder, split)
        return match

    def _match(self, name: str, folder: str, split: str) -> Match:
        if not name or len(name) > LONGEST_PATH:
            return Match(None, NOT_THERE)
        parts = _parts(name)
        if not parts:
            return Match(None, NOT_THERE)
        last = _plain(parts[-1])
        found = self._by_name.get(last) or self._by_stem.get(last)
        if not found:
            return Match(None, NOT_THERE, tuple(parts))
        if len(found) > MANY:
            found = self._closest(last, found, parts, folder)
        return self._best(found, parts, folder, split) if found else Match(None, SEVERAL, tuple(parts))

    def _closest(
        self, name: str, found: list[tuple[str, Path]], parts: list[str], folder: str
    ) -> list[tuple[str, Path]]:
        """Those of very many files of one name whose folders agree most; looking at each for each row takes hours."""
        if name not in self._by_end:
            ends = self._by_end[name] = defaultdict(list)
            for relative, path in found:
                folders = tuple(_plain(part) for part in relative.split("/")[:-1])
                for start in range(len(folders)):
                    ends[folders[start:]].append((relative, path))
                ends[("", *folders)].append((relative, path))  # the whole path
        ends = self._by_end[name]
        plain = tuple(_plain(part) for part in parts[:-1])
        beside = tuple(_plain(part) for part in folder.split("/") if part) + plain
        tail = next((plain[start:] for start in range(len(plain)) if plain[start:] in ends), ())
        near = ends[tail] if tail else []
        if len(near) > MANY:  # alike, but for one that has no other folders
            near = ends.get(("", *tail), [])
        here = [*near, *ends.get(("", *beside), [])]
        return here if here or tail else ends.get(("",), [])

    def _best(self, found: list[tuple[str, Path]], parts: list[str], folder: str, split: str) -> Match:
        plain = [_plain(part) for part in parts[:-1]]
        beside = [_plain(part) for part in folder.split("/") if part] + plain
        own = _splits(parts[:-1])
        said = own or _splits(folder.split("/"))
        best: list[Path] = []
        best_score: tuple[bool, int, bool, bool, int] | None = None
        for relative, path in found:
            theirs = relative.split("/")
            their_plain = [_plain(part) for part in theirs[:-1]]
            agreed = 1 + _common_tail(their_plain, plain)
            splits = _splits(theirs[:-1])
            here = their_plain == beside
            apart = agreed < len(theirs) and (agreed < len(parts) or not own)
            if not here and (self._known(plain, agreed) or (apart and said and splits and said != splits)):
                continue
            exact = 1 + _common_tail(theirs[:-1], parts[:-1]) + (theirs[-1] == parts[-1])
            score = (here, agreed, (said or {split}) == splits, len(theirs) == agreed, exact)
            if best_score is None or score > best_score:
                best, best_score = [path], score
            elif score == best_score and path not in best:
                best.append(path)
        if len(best) == 1 and best_score is not None:
            return Match(best[0], "", tuple(parts), best_score[1])
        return Match(None, SEVERAL if best else NOT_THERE, tuple(parts))

    def _known(self, folders: list[str], agreed: int) -> bool:
        """Whether a row's folder is in the channel, so that a file in another, of which ``agreed`` parts are the same,
        isn't the row's: a/1.jpg is not b/1.jpg where there is a folder a."""
        rest = len(folders) + 1 - agreed
        return rest > 0 and tuple(folders[rest - 1 :]) in self._folders
