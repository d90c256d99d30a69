"""The picture files below a channel's folder: each once, whatever links lead to it, and what is none of them."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from fastai_container.pictures import SUFFIXES

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
    """``pictures``, sorted; ``skipped``: a path relative to the root, and why it was left out."""

    root: Path
    pictures: list[Path] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)

    def skip(self, path: Path, why: str) -> None:
        self.skipped.append((str(path.relative_to(self.root)), why))


def _wanted(name: str) -> bool:
    return not name.startswith((".", "__MACOSX"))


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
        self.folders = {self.real_root}
        self.files: set[Path] = set()
        self.links: list[Path] = []

    def run(self) -> Tree:
        self._folder(self.tree.root, linked=False)
        while self.links:
            links, self.links = sorted(self.links), []
            for link in links:
                self._follow(link)
        self.tree.pictures.sort(key=self._place)
        self.tree.skipped.sort()
        return self.tree

    def _place(self, path: Path) -> list[tuple[bool, str]]:
        """A folder's files come before its folders."""
        parts = path.relative_to(self.tree.root).parts
        return [*((True, name) for name in parts[:-1]), (False, parts[-1])]

    def _real(self, path: Path, linked: bool) -> Path:
        return path.resolve() if linked else self.real_root / path.relative_to(self.tree.root)

    def _folder(self, top: Path, *, linked: bool) -> None:
        """Everything below ``top``; ``linked``: it was reached by a link, so what it holds may be known already."""
        waiting = [top]
        while waiting:
            folder = waiting.pop()
            try:
                with os.scandir(folder) as found:
                    entries = [entry for entry in found if _wanted(entry.name)]
            except OSError as error:
                self.tree.skip(folder, f"the folder can't be read: {error.strerror}")
                continue
            for entry in entries:
                path = Path(entry.path)
                if entry.is_symlink():
                    self.links.append(path)
                elif entry.is_dir(follow_symlinks=False):
                    if not linked or self._new_folder(path):
                        self.folders.add(self._real(path, linked))
                        waiting.append(path)
                elif path.suffix.lower() in SUFFIXES:
                    self._file(path, self._real(path, linked), regular=entry.is_file(follow_symlinks=False))

    def _new_folder(self, path: Path) -> bool:
        """Whether a folder that a link led to is to be read; if not, it says why."""
        real = path.resolve()
        if self.real_root.is_relative_to(real):
            self.tree.skip(path, f"a link to {real}, which holds this channel's folder")
        elif any(real.is_relative_to(system) for system in _SYSTEM):
            self.tree.skip(path, f"a link to {real}, a folder of the system")
        elif real in self.folders:
            self.tree.skip(path, f"the same folder as {_where(real, self.real_root)}, read there")
        else:
            return True
        return False

    def _file(self, path: Path, real: Path, *, regular: bool) -> None:
        if real in self.files:
            self.tree.skip(path, f"the same file as {_where(real, self.real_root)}, counted there")
        elif not regular:
            self.tree.skip(path, f"{_kind(path)}, not a file")
        else:
            self.files.add(real)
            self.tree.pictures.append(path)

    def _follow(self, link: Path) -> None:
        try:
            mode = link.stat().st_mode
        except OSError as error:
            if link.suffix == "" or link.suffix.lower() in SUFFIXES:
                self.tree.skip(link, f"a link that leads nowhere: {error.strerror}")
            return
        if not stat.S_ISDIR(mode):
            if link.suffix.lower() in SUFFIXES:
                self._file(link, link.resolve(), regular=stat.S_ISREG(mode))
        elif self._new_folder(link):
            self.folders.add(link.resolve())
            self._folder(link, linked=True)


def read_tree(root: Path) -> Tree:
    """All files below ``root`` with a picture's suffix; hidden files and folders are left out.

    Links are followed, but a file or folder that several lead to is there once: the others are in ``skipped``, as are
    links in a circle, folders that can't be read, and named pipes, sockets and devices, which are never opened.
    """
    return _Walk(root).run()
