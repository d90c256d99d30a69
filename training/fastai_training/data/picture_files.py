"""The files below a channel's folder: each picture once, whatever links lead to it, and what else lies there."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from fastai_container.pictures import SUFFIXES
from fastai_training.data.labels import Note

#: Files that may say which picture is of which class.
TABLE_SUFFIXES = frozenset({".csv", ".tsv", ".jsonl", ".ndjson", ".manifest", ".json", ".lst"})
#: Files that hold many pictures (MXNet's RecordIO).
RECORD_SUFFIXES = frozenset({".rec"})
_ARCHIVES = frozenset({".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".7z", ".rar"})
#: What file servers and desktops leave beside pictures.
_CLUTTER = frozenset({"@eadir", "#recycle", "thumbs.db", "desktop.ini", "$recycle.bin"})
#: Folders of the system, which a link that went astray leads to; nobody keeps pictures there, and /proc has no end.
_SYSTEM = tuple(Path("/", name) for name in ("proc", "sys", "dev", "usr", "etc", "bin", "sbin", "lib", "lib64", "boot"))
_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


@dataclass
class Tree:
    """The files below ``root``, each list sorted with a folder's files before its folders.

    ``tables`` and ``records`` are files that may hold labels or pictures, ``unnamed`` files without a suffix, which a
    table may name. ``aliases``: by its path relative to the root, what a link that was left out leads to. ``others``:
    by suffix, how many files of it there are, and one of them. ``skipped``: a path relative to the root, and why it
    was left out.
    """

    root: Path
    pictures: list[Path] = field(default_factory=list)
    tables: list[Path] = field(default_factory=list)
    records: list[Path] = field(default_factory=list)
    unnamed: list[Path] = field(default_factory=list)
    aliases: dict[str, Path] = field(default_factory=dict)
    others: dict[str, tuple[int, str]] = field(default_factory=dict)
    skipped: list[tuple[str, str]] = field(default_factory=list)

    def skip(self, path: Path, why: str) -> None:
        self.skipped.append((str(path.relative_to(self.root)), why))

    def relative(self, path: Path) -> str:
        """Return ``path`` relative to the root, as text; its name alone where it lies elsewhere."""
        text, root = str(path), f"{self.root}/"
        return text[len(root) :] if text.startswith(root) else path.name

    def use(self, path: Path) -> None:
        """Count a file that is read after all no longer among ``others``."""
        suffix, name = path.suffix.lower(), self.relative(path)
        if path.is_relative_to(self.root) and suffix in self.others:
            count, example = self.others.pop(suffix)
            if count > 1:
                self.others[suffix] = (count - 1, "" if example == name else example)

    def unread(self) -> list[Note]:
        """What lies there and is neither a picture nor a table, by suffix."""
        notes = [
            Note(f"{count} {suffix} files are not used" + ("; unpack archives" if suffix in _ARCHIVES else ""), example)
            for suffix, (count, example) in sorted(self.others.items())
        ]
        if self.unnamed:
            count, first = len(self.unnamed), self.relative(self.unnamed[0])
            notes.append(Note(f"{count} files without a suffix are not used, since no table names them", first))
        return notes


def _wanted(name: str) -> bool:
    return not name.startswith((".", "__MACOSX")) and name.lower() not in _CLUTTER


def _where(path: Path, root: Path) -> str:
    """A real path as a user knows it: relative to the channel's folder where it lies in it."""
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


def _kind(path: Path) -> str:
    try:
        return _KINDS.get(stat.S_IFMT(path.stat().st_mode), "something else")
    except OSError as error:
        return f"something that can't be read ({error.strerror})"


class _Walk:
    """One walk. Links are followed after everything else, so that of a file and a link to it the file is kept."""

    def __init__(self, root: Path) -> None:
        self.tree = Tree(root)
        self.real_root = root.resolve()
        self.folders = {str(self.real_root)}
        self.files: dict[str, Path] = {}
        self.links: list[Path] = []

    def run(self) -> Tree:
        self._folder(str(self.tree.root), str(self.real_root), linked=False)
        linked = bool(self.links)
        while self.links:
            links, self.links = sorted(self.links), []
            for link in links:
                self._follow(link)
        if linked:  # the walk itself goes in this order
            for found in (self.tree.pictures, self.tree.tables, self.tree.records, self.tree.unnamed):
                found.sort(key=self._place)
        self.tree.skipped.sort()
        return self.tree

    def _place(self, path: Path) -> list[tuple[bool, str]]:
        """A folder's files come before its folders."""
        parts = path.relative_to(self.tree.root).parts
        return [*((True, name) for name in parts[:-1]), (False, parts[-1])]

    def _folder(self, top: str, real_top: str, *, linked: bool) -> None:
        """Everything below ``top``; ``linked``: it was reached by a link, so what it holds may be known already."""
        waiting = [(top, real_top)]
        while waiting:
            folder, real = waiting.pop()
            try:
                with os.scandir(folder) as found:
                    entries = sorted((entry for entry in found if _wanted(entry.name)), key=lambda entry: entry.name)
            except OSError as error:
                self.tree.skip(Path(folder), f"the folder can't be read: {error.strerror}")
                continue
            below = []
            for entry in entries:
                if entry.is_symlink():
                    self.links.append(Path(entry.path))
                elif entry.is_dir(follow_symlinks=False):
                    if not linked or self._new_folder(Path(entry.path)):
                        self.folders.add(f"{real}/{entry.name}")
                        below.append((entry.path, f"{real}/{entry.name}"))
                else:
                    self._file(entry.path, f"{real}/{entry.name}", regular=entry.is_file(follow_symlinks=False))
            waiting += reversed(below)

    def _new_folder(self, path: Path) -> bool:
        """Whether a folder that a link led to is to be read; if not, it says why."""
        real = path.resolve()
        if self.real_root.is_relative_to(real):
            self.tree.skip(path, f"a link to {real}, which holds this channel's folder")
        elif any(real.is_relative_to(system) for system in _SYSTEM):
            self.tree.skip(path, f"a link to {real}, a folder of the system")
        elif str(real) in self.folders:
            self.tree.skip(path, f"the same folder as {_where(real, self.real_root)}, read there")
        else:
            return True
        return False

    def _list_for(self, suffix: str) -> list[Path] | None:
        if suffix in SUFFIXES:
            return self.tree.pictures
        if suffix in TABLE_SUFFIXES:
            return self.tree.tables
        if suffix in RECORD_SUFFIXES:
            return self.tree.records
        return None if suffix else self.tree.unnamed

    def _file(self, path: str, real: str, *, regular: bool) -> None:
        suffix = os.path.splitext(path)[1].lower()  # noqa: PTH122 - for each of very many files
        wanted = self._list_for(suffix)
        if wanted is None:
            count, example = self.tree.others.get(suffix, (0, self.tree.relative(Path(path))))
            self.tree.others[suffix] = (count + 1, example)
        elif not regular:
            if suffix in SUFFIXES:
                self.tree.skip(Path(path), f"{_kind(Path(path))}, not a file")
        elif real in self.files:
            self.tree.aliases[self.tree.relative(Path(path))] = self.files[real]
            self.tree.skip(Path(path), f"the same file as {_where(Path(real), self.real_root)}, counted there")
        else:
            found = Path(path)
            self.files[real] = found
            wanted.append(found)

    def _follow(self, link: Path) -> None:
        try:
            mode = link.stat().st_mode
        except OSError as error:
            if link.suffix == "" or self._list_for(link.suffix.lower()) is not None:
                self.tree.skip(link, f"a link that leads nowhere: {error.strerror}")
            return
        if not stat.S_ISDIR(mode):
            self._file(str(link), str(link.resolve()), regular=stat.S_ISREG(mode))
        elif self._new_folder(link):
            real = link.resolve()
            self.folders.add(str(real))
            self._folder(str(link), str(real), linked=True)


def read_tree(root: Path) -> Tree:
    """Find all files below ``root``; hidden files and folders are left out.

    Links are followed, but a file or folder that several lead to is there once: the others are in ``skipped``, as are
    links in a circle, folders that can't be read, and named pipes, sockets and devices, which are never opened.
    """
    return _Walk(root).run()
