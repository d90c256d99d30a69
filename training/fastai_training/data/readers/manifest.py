"""Labels from a manifest in the channel's folder: a CSV file with a header, or JSON lines, with file and label."""

from __future__ import annotations

import codecs
import contextlib
import csv
import json
import re
from pathlib import Path
from typing import Any

from fastai_training.data.labels import DataError, Example, Examples
from fastai_training.data.readers.reader import Channel, Reader
from fastai_training.quoting import shown

MANIFEST_SUFFIXES = {".csv", ".jsonl", ".ndjson", ".manifest"}
FILE_COLUMNS = ("file", "filename", "file_name", "image", "image_path", "path", "source-ref", "fname", "name")
LABEL_COLUMNS = ("label", "class", "category", "target", "class_name", "labels", "breed", "species")
#: Linux has no longer paths.
LONGEST_PATH = 4096


def _encoding(path: Path) -> str:
    """UTF-8, with or without a byte-order mark, or UTF-16 with one, as spreadsheets write "Unicode text"."""
    with path.open("rb") as file:
        start = file.read(2)
    return "utf-16" if start in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"


def _read_rows(path: Path) -> list[dict[str, Any]]:
    """One row for each picture of a CSV file with a header, or of JSON lines. Raises DataError."""
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


def _find_manifest(root: Path, *, forced: bool) -> Path | None:
    """The one manifest in the channel's folder. Raises DataError where ``forced`` and there is not exactly one."""
    manifests = sorted(path for path in root.iterdir() if path.suffix.lower() in MANIFEST_SUFFIXES and path.is_file())
    if not manifests and forced:
        raise DataError(f"no manifest in {root}; put one there: a .csv with a header, or .jsonl, with file and label")
    if len(manifests) > 1 and forced:
        found = ", ".join(shown(path.name) for path in manifests)
        raise DataError(f"several manifests in {root}: {found}; leave one")
    return manifests[0] if len(manifests) == 1 else None


def _columns(row: dict[str, Any], manifest: Path, label_column: str, *, forced: bool) -> tuple[str, str] | None:
    """The names of the columns for file and label; None where the manifest has none by their usual names.

    Raises DataError for that where ``forced``, or where the label's column was named.
    """
    names = [name for name in row if name]
    file_name = _column(names, FILE_COLUMNS)
    label_name = label_column if label_column in names else _column(names, LABEL_COLUMNS) if not label_column else None
    if file_name is not None and label_name is not None:
        return file_name, label_name
    if not forced and not label_column:
        return None
    missing = f"column {label_column!r}" if label_column and label_name is None else "columns for file and label"
    raise DataError(
        f"{shown(manifest.name)} has no {missing}; its columns are {', '.join(map(shown, names[:20]))}. "
        "Name them file and label, or set the hyperparameter label_column"
    )


def _examples(root: Path, manifest: Path, rows: list[dict[str, Any]], file_name: str, label_name: str) -> Examples:
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


def _read(channel: Channel, *, forced: bool) -> Examples | None:
    manifest = _find_manifest(channel.root, forced=forced)
    if manifest is None:
        return None
    rows = _read_rows(manifest)
    if not rows or not all(isinstance(row, dict) for row in rows):
        raise DataError(f"the manifest {shown(manifest.name)} has no rows; give each picture a row with file and label")
    columns = _columns(rows[0], manifest, channel.label_column, forced=forced)
    return None if columns is None else _examples(channel.root, manifest, rows, *columns)


def read(channel: Channel) -> Examples:
    """Take pictures and labels from the manifest's rows; a row without a picture or a label is skipped."""
    examples = _read(channel, forced=True)
    assert examples is not None
    return examples


def _detect(channel: Channel) -> Examples | None:
    return _read(channel, forced=False)


READER = Reader("manifest", read, _detect, absent="no manifest", lists_files=True)
