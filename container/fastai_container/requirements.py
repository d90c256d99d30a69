"""What of a user's requirements.txt is still to be installed.

Lines that the image satisfies already are dropped before pip is asked: then nothing asks an index for them, and what
the image leaves out on purpose (spaCy of fastai, scipy of sagemaker-inference) does not count as missing. What was
dropped stays a constraint for the rest. Lines that can't be judged here (addresses, paths, editable ones) go to pip.
"""

from __future__ import annotations

import codecs
import os
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from fastai_container.errors import UserError, unreadable

#: A longer file is no list of requirements.
_MAX_BYTES = 1 << 20
_BYTE_ORDER_MARKS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
_COMMENT = re.compile(r"(^|\s)#.*$")
_VARIABLE = re.compile(r"\$\{([A-Z0-9_]+)\}")
#: What may follow a requirement on its line, --hash above all.
_OPTIONS_OF_LINE = re.compile(r"\s--?[A-Za-z]")
_NESTED = re.compile(r"(-r|--requirement|-c|--constraint)(?:\s*=\s*|\s+|(?<=-[rc]))(\S.*)")
_FIND_LINKS = re.compile(r"(-f|--find-links)(?:\s*=\s*|\s+|(?<=-f))(\S.*)")
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|file:")
_ARCHIVE = re.compile(r"\.(whl|zip|tar|tar\.gz|tgz|tar\.bz2|tar\.xz|tbz|txz)(\[[^\]]*\])?$", re.IGNORECASE)


@dataclass(frozen=True)
class Line:
    """One line for pip. ``requirement`` is None for options and for what only pip can judge.

    ``constraints``: the file or address that a line with -c names.
    """

    text: str
    requirement: Requirement | None = None
    option: bool = False
    constraints: str = ""

    @property
    def name(self) -> str:
        """The package's name as indexes spell it, "" where the line names none."""
        return canonicalize_name(self.requirement.name) if self.requirement else ""


@dataclass
class Requirements:
    """A requirements.txt with all files that it names by -r read in.

    ``missing`` are the lines that pip must install, ``satisfied`` those that it need not. ``options`` (an index, a
    folder of wheels) are for the whole file.
    """

    missing: list[Line] = field(default_factory=list)
    satisfied: list[Line] = field(default_factory=list)
    options: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """A file for pip that holds what is missing alone; empty when nothing is."""
        return [*self.options, *(line.text for line in self.missing)] if self.missing else []

    def write(self, folder: Path) -> Path | None:
        """Write what is missing into ``folder``, for ``pip install -r`` of what is returned; None if nothing is.

        What is satisfied becomes a constraint, so that pip doesn't replace it by a release that the user excluded.
        Paths of the lines are relative to the folder of the user's own file: run pip there.
        """
        lines = self.lines()
        if not lines:
            return None
        held, wanted = folder / "satisfied.txt", folder / "missing.txt"
        # pip takes no extras in constraints.
        constraints = [f"{line.name}{line.requirement.specifier}" for line in self.satisfied if line.requirement]
        held.write_text("\n".join(constraints) + "\n", encoding="utf-8")
        wanted.write_text("\n".join([f"-c {held.name}", *lines]) + "\n", encoding="utf-8")
        return wanted


def unsatisfied(path: Path) -> list[str]:
    """The lines of the requirements.txt at ``path`` that pip must see; none when all is there. Raises UserError."""
    return read(path).lines()


def read(path: Path) -> Requirements:
    """Judge every line of the requirements.txt at ``path`` by what is installed.

    Raises UserError, which names files and line numbers, never what a file holds: -r may name any file there is.
    """
    lines = list(_lines(path, ()))
    constraints, unknown = _constraints(lines)
    addresses = {line.name for line in lines if line.requirement and line.requirement.url}
    found = Requirements()
    for line in lines:
        if line.option:
            found.options.append(line.text)
        elif line.requirement is None:
            found.missing.append(line)
        elif line.requirement.marker is None or line.requirement.marker.evaluate({"extra": ""}):
            limits = constraints.get(line.name, SpecifierSet())
            judged = not unknown and line.name not in addresses  # whose other lines are for pip too
            good = judged and _is_satisfied(line.requirement, limits, frozenset())
            (found.satisfied if good else found.missing).append(line)
    return found


def _is_satisfied(requirement: Requirement, limits: SpecifierSet, seen: frozenset[tuple[str, str]]) -> bool:
    """Whether the package is installed in a fitting release, and what its extras ask for too."""
    if requirement.url:
        return False
    try:
        distribution = metadata.distribution(requirement.name)
        version = distribution.version
    except (metadata.PackageNotFoundError, ValueError):
        return False
    if not version or not (requirement.specifier & limits).contains(version, prereleases=True):
        return False
    for extra in requirement.extras:
        key = (canonicalize_name(requirement.name), canonicalize_name(extra))
        if key in seen:
            continue
        provided = {canonicalize_name(name) for name in distribution.metadata.get_all("Provides-Extra") or []}
        if key[1] not in provided:
            return False  # pip says what it thinks of it
        for text in distribution.requires or []:
            needed = Requirement(text)
            # What it asks for without the extra is no question: the image has it, or leaves it out on purpose.
            if needed.marker is None or needed.marker.evaluate({"extra": ""}):
                continue
            if needed.marker.evaluate({"extra": extra}) and not _is_satisfied(needed, SpecifierSet(), seen | {key}):
                return False
    return True


def _constraints(lines: list[Line]) -> tuple[dict[str, SpecifierSet], bool]:
    """The limits that the files named by -c set, and whether one of them can't be read here (an address)."""
    limits: dict[str, SpecifierSet] = {}
    for line in lines:
        if not line.constraints:
            continue
        if _ADDRESS.match(line.constraints):
            return {}, True
        for other in _lines(Path(line.constraints), ()):
            if other.requirement is None or other.requirement.url:
                return {}, True
            if other.requirement.marker is None or other.requirement.marker.evaluate({"extra": ""}):
                limits[other.name] = limits.get(other.name, SpecifierSet()) & other.requirement.specifier
    return limits, False


def _text(path: Path) -> str:
    try:
        if not path.is_file():
            raise UserError(f"there is no file {path}, which a requirements.txt names")
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except PermissionError:
        raise UserError(unreadable(path)) from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} can't be read: {getattr(error, 'strerror', None) or error}") from None
    if len(data) > _MAX_BYTES:
        raise UserError(f"{path} is no list of requirements: it has more than {_MAX_BYTES:,} bytes")
    encoding = "utf-8"
    for mark, name in _BYTE_ORDER_MARKS.items():
        if data.startswith(mark):
            data, encoding = data[len(mark) :], name
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        raise UserError(f"{path} is not UTF-8; save it as UTF-8") from None
    if "\0" in text:
        raise UserError(f"{path} is no text; save it as UTF-8")
    return text


def _joined(text: str) -> Iterator[tuple[int, str]]:
    """Lines with their numbers: those that end in a backslash joined, comments and empty ones left out."""
    begin, pending = 0, ""
    rows = text.splitlines()
    for number, line in enumerate(rows, 1):
        begin = begin or number
        comment = line.lstrip().startswith("#")
        if line.endswith("\\") and not comment and number != len(rows):
            pending += line[:-1].strip() + " "
            continue
        # A comment ends what a backslash continued, as for pip.
        whole = (pending + ("" if comment else line.removesuffix("\\").strip())).strip()
        whole = _COMMENT.sub("", whole).strip()
        if whole:
            yield begin, _VARIABLE.sub(lambda match: os.environ.get(match[1]) or match[0], whole)
        begin, pending = 0, ""


def _lines(path: Path, above: tuple[Path, ...]) -> Iterator[Line]:
    """The lines of ``path``, in place of a -r those of its file; ``above`` are the files that led here."""
    if path.resolve() in above:
        raise UserError(f"{path} names itself by -r, maybe through another file")
    folder = path.parent.resolve()
    for number, text in _joined(_text(path)):
        where = f"line {number} of {path}"
        if text.startswith("-") and not text.startswith(("-e", "--editable")):
            nested = _NESTED.fullmatch(text)
            if nested is None:
                yield Line(_with_full_path(text, folder), option=True)
                continue
            named, limits = nested[2].strip("\"'"), nested[1] in ("-c", "--constraint")
            address = _ADDRESS.match(named) is not None
            target = named if address else str(folder / named)
            if limits:
                yield Line(f"-c {shlex.quote(target)}", option=True, constraints=target)
            elif address:
                yield Line(text)
            else:
                yield from _lines(Path(target), (*above, path.resolve()))
        else:
            yield _line(text, folder, where)


def _with_full_path(text: str, folder: Path) -> str:
    """pip looks for a relative --find-links beside the file that has it; ours is elsewhere."""
    match = _FIND_LINKS.fullmatch(text)
    if match and not _ADDRESS.match(match[2]) and (folder / match[2]).exists():
        return f"--find-links {shlex.quote(str(folder / match[2]))}"
    return text


def _line(text: str, folder: Path, where: str) -> Line:
    bare = _OPTIONS_OF_LINE.split(text, maxsplit=1)[0].strip()
    try:
        return Line(text, Requirement(bare))
    except InvalidRequirement:
        path = bare.partition(";")[0].strip().partition("[")[0]
        known = (
            text.startswith(("-e", "--editable"))
            or _ADDRESS.match(bare)
            or _ARCHIVE.search(path)
            or (("/" in path or path.startswith(".")) and (folder / path).is_dir())
        )
        if not known:
            raise UserError(f"{where} is no requirement (name==version), option, path or address") from None
        return Line(text)
