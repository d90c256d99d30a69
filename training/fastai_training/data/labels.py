"""Find the pictures of a channel and their labels: from file names, class folders or a manifest."""

from __future__ import annotations

import codecs
import contextlib
import csv
import json
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastai_container.errors import UserError
from fastai_container.model_folder import vocabulary_fault
from fastai_container.pictures import SUFFIXES
from fastai_training.data.picture_files import read_tree
from fastai_training.quoting import shown

#: Pets-style names: everything before the last underscore and number, as in the seed's ``([^/]+)_\d+.jpg``.
NAME_PATTERN = re.compile(r"^(?P<label>.+)_\d+$")
MANIFEST_SUFFIXES = {".csv", ".jsonl", ".ndjson", ".manifest"}
FILE_COLUMNS = ("file", "filename", "file_name", "image", "image_path", "path", "source-ref", "fname", "name")
LABEL_COLUMNS = ("label", "class", "category", "target", "class_name", "labels", "breed", "species")
#: Linux has no longer paths.
LONGEST_PATH = 4096
#: A longer label is no class's name, but a column of something else.
LONGEST_LABEL = 200
#: A folder that a user split already; mixing its parts would train on the validation pictures.
SPLIT_NAMES = {"train", "training", "valid", "val", "validation", "test"}


class DataError(UserError):
    """Pictures or labels that can't be trained on."""


@dataclass(frozen=True)
class Example:
    path: Path
    label: str


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


def _encoding(path: Path) -> str:
    """UTF-8, with or without a byte-order mark, or UTF-16 with one, as spreadsheets write "Unicode text"."""
    with path.open("rb") as file:
        start = file.read(2)
    return "utf-16" if start in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"


def _read_rows(path: Path) -> list[dict[str, Any]]:
    number = 0
    try:
        with path.open(encoding=_encoding(path), newline="") as file:
            if path.suffix.lower() == ".csv":
                return [dict(row) for row in csv.DictReader(file)]
            rows = []
            for line in file:
                number += 1
                if line.strip():
                    rows.append(json.loads(line))
            return rows
    except RecursionError:
        why = f"line {number} is nested too deep"
    except UnicodeError:
        why = "it is not UTF-8; save it as UTF-8"
    except (OSError, ValueError, csv.Error) as error:
        why = f"line {number}: {error}" if number else str(error)
    raise DataError(f"the manifest {shown(path.name)} can't be read: {why}")


def _text(row: dict[str, Any], name: str, manifest: Path) -> str:
    """What ``row`` has in the column ``name``. Raises DataError for what is no single text or number."""
    value = row.get(name)
    if isinstance(value, list | dict):
        kind = "a list" if isinstance(value, list) else "an object"
        raise DataError(
            f"{shown(manifest.name)} has {kind} as {shown(name)}; give each picture one text or number there"
        )
    # JSON has labels that are numbers, and 0 is one.
    text = "" if value is None else str(value).strip()
    return text.encode("utf-8", "replace").decode()


def _column(names: list[str], known: tuple[str, ...]) -> str | None:
    by_lower = {str(name).lower(): name for name in names}
    return next((by_lower[candidate] for candidate in known if candidate in by_lower), None)


def _resolve(root: Path, name: str) -> Path | None:
    """A manifest's file: relative to the channel or to its ``images`` folder; of an S3 address its last parts."""
    if len(name) > LONGEST_PATH:
        return None
    name = re.sub(r"^s3://[^/]+/", "", name)
    parts = Path(name).parts
    for start in range(len(parts)):
        tail = Path(*parts[start:])
        if ".." in tail.parts or tail.is_absolute():
            continue
        for base in (root, root / "images"):
            with contextlib.suppress(OSError):  # a part is too long for a file's name
                if (base / tail).is_file():
                    return base / tail
    return None


def _from_manifest(root: Path, label_column: str, *, forced: bool) -> Examples | None:
    """Labels by a manifest in the channel's folder; None when there is none that says so by itself."""
    manifests = sorted(path for path in root.iterdir() if path.suffix.lower() in MANIFEST_SUFFIXES and path.is_file())
    if not manifests:
        if forced:
            raise DataError(
                f"no manifest in {root}; put one there: a .csv with a header, or .jsonl, with file and label"
            )
        return None
    if len(manifests) > 1:
        if forced:
            found = ", ".join(shown(path.name) for path in manifests)
            raise DataError(f"several manifests in {root}: {found}; leave one")
        return None
    manifest = manifests[0]
    rows = _read_rows(manifest)
    if not rows or not all(isinstance(row, dict) for row in rows):
        raise DataError(f"the manifest {shown(manifest.name)} has no rows; give each picture a row with file and label")
    names = [name for name in rows[0] if name]
    file_name = _column(names, FILE_COLUMNS)
    label_name = label_column if label_column in names else _column(names, LABEL_COLUMNS) if not label_column else None
    if file_name is None or label_name is None:
        if not forced and not label_column:
            return None
        missing = f"column {label_column!r}" if label_column and label_name is None else "columns for file and label"
        raise DataError(
            f"{shown(manifest.name)} has no {missing}; its columns are {', '.join(map(shown, names[:20]))}. "
            "Name them file and label, or set the hyperparameter label_column"
        )
    items, skipped = [], []
    seen: set[Path] = set()
    for number, row in enumerate(rows, 1):
        file, label = (_text(row, name, manifest) for name in (file_name, label_name))
        path = _resolve(root, file) if file else None
        if path is None:
            skipped.append((file or f"row {number}", f"named in {manifest.name} but not there"))
        elif not label:
            skipped.append((file, f"no label in {manifest.name}"))
        elif path.resolve() in seen:  # on both sides of the split it would be validated on what it was trained on
            skipped.append((file, f"named twice in {manifest.name}"))
        else:
            seen.add(path.resolve())
            items.append(Example(path, label))
    return Examples(root, items, f"manifest {shown(manifest.name)} (column {shown(label_name)})", skipped)


def _from_folders(root: Path, pictures: list[Path]) -> Examples:
    items, skipped = [], []
    for path in pictures:
        if path.parent == root:
            skipped.append((path.name, "not in a class folder"))
        else:
            items.append(Example(path, path.parent.name))
    return Examples(root, items, "folders", skipped)


def _from_names(root: Path, pictures: list[Path]) -> Examples:
    items, skipped = [], []
    for path in pictures:
        match = NAME_PATTERN.match(path.stem)
        if match:
            items.append(Example(path, match["label"]))
        else:
            skipped.append((str(path.relative_to(root)), "no label in its name (label_number.jpg)"))
    return Examples(root, items, "names", skipped)


def _detect(root: Path, pictures: list[Path]) -> Examples:
    parents = {path.parent for path in pictures}
    tops = {path.relative_to(root).parts[0].lower() for path in pictures if path.parent != root}
    if len(tops) > 1 and tops <= SPLIT_NAMES:
        raise DataError(
            f"the channel holds {' and '.join(sorted(tops))} folders: pass them as two channels, "
            "training and validation, so that no validation picture is trained on"
        )
    by_name = _from_names(root, pictures)
    if len(parents - {root}) > 1 and len([path for path in pictures if path.parent == root]) <= len(pictures) // 20:
        return _from_folders(root, pictures)
    # A stray picture among thousands is left out and listed; many without a label mean that names say nothing.
    if len(by_name.items) >= 0.9 * len(pictures):
        return by_name
    example = by_name.skipped[0][0]
    raise DataError(
        f"can't tell the labels: {len(by_name.skipped)} of {len(pictures)} names are not like shiba_inu_12.jpg "
        f"(for example {shown(example)}), there are no class folders and no manifest. Arrange the "
        "pictures in a folder for each class, or add a manifest (.csv with file and label)"
    )


def find_examples(root: Path, label_from: str = "auto", label_column: str = "") -> Examples:
    """The labelled pictures of a channel's folder.

    ``label_from``: auto (a manifest that has the columns, else class folders, else names), names, folders, manifest.
    Raises DataError when there are no pictures, no labels, or only one class.
    """
    if not root.is_dir():
        raise DataError(f"there is no folder {root}")
    tree = read_tree(root)
    pictures = tree.pictures
    if not pictures:
        names = sorted(path.name for path in root.iterdir())
        held = f"it holds {', '.join(map(shown, names[:5]))}" if names else "it is empty"
        held += "".join(f"; {shown(name)}: {why}" for name, why in tree.skipped[:3])
        raise DataError(f"no pictures in {root} ({held}); picture files end in {', '.join(sorted(SUFFIXES))}")
    examples: Examples | None
    if label_from == "manifest":
        examples = _from_manifest(root, label_column, forced=True)
    elif label_from == "folders":
        examples = _from_folders(root, pictures)
    elif label_from == "names":
        examples = _from_names(root, pictures)
    else:
        examples = _from_manifest(root, label_column, forced=False) or _detect(root, pictures)
    assert examples is not None
    if not examples.source.startswith("manifest"):  # which says itself which files are meant
        examples.skipped += tree.skipped
    # A folder's name need not be UTF-8, but a class's must: it is written as JSON.
    examples.items = [Example(item.path, item.label.encode("utf-8", "replace").decode()) for item in examples.items]
    long = next((item for item in examples.items if len(item.label) > LONGEST_LABEL), None)
    if long is not None:
        raise DataError(
            f"{shown(long.path.name)} has a label of {len(long.label):,} characters (by {examples.source}); a class's "
            f"name has at most {LONGEST_LABEL}: is this the column of the labels?"
        )
    if len(examples.vocab) < 2:
        held = f"only the class {examples.vocab[0]!r}" if examples.items else "no labelled picture"
        raise DataError(
            f"labels from {examples.source} give {held} ({len(examples.skipped)} of {len(pictures)} pictures have "
            "none); at least two classes are needed: check the folder, or set label_from to names, folders or manifest"
        )
    if fault := vocabulary_fault(examples.vocab):  # what serving would refuse, before anything is trained
        raise DataError(f"labels from {examples.source} can't be classes: the vocabulary {fault}")
    return examples
