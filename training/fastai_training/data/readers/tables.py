"""Read tables of any of the kinds in which labels come: CSV with some delimiter, JSON lines, a JSON list of objects."""

from __future__ import annotations

import codecs
import csv
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from fastai_training.data.labels import DataError
from fastai_training.quoting import shown

_DELIMITED = frozenset({".csv", ".tsv"})
_LINES = frozenset({".jsonl", ".ndjson", ".manifest"})
#: Bytes; a larger JSON file is no table of labels but a data set's annotations in one piece.
_LARGEST_JSON = 256 << 20
_DELIMITERS = ",;\t|"


class NotATableError(Exception):
    """A file that can be read but is not a table; the text says what it is."""


@dataclass
class Table:
    """A table by its columns, each with a value for every row; None where a row has none.

    ``headless``: its file has no header, so that the columns are called 1, 2, ….
    """

    path: Path
    columns: dict[str, list[Any]]
    rows: int
    headless: bool = False

    @property
    def name(self) -> str:
        return self.path.name

    def texts(self, column: str) -> list[str]:
        """The column's values as text, "" for none. Raises DataError for lists and objects."""
        return [self._text(column, value) for value in self.columns[column]]

    def _text(self, column: str, value: Any) -> str:
        if isinstance(value, list | dict):
            kind = "a list" if isinstance(value, list) else "an object"
            raise DataError(
                f"{shown(self.name)} has {kind} as {shown(column)}; give each picture one text or number there"
            )
        return as_text(value)


def as_text(value: Any) -> str:
    """A cell's text. JSON has labels that are numbers, and 0 is one."""
    text = "" if value is None else str(value).strip()
    return text.encode("utf-8", "replace").decode()


def _encoding(path: Path) -> str:
    """UTF-8, with or without a byte-order mark, or UTF-16 with one, as spreadsheets write "Unicode text"."""
    with path.open("rb") as file:
        start = file.read(2)
    return "utf-16" if start in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"


def _delimiter(line: str) -> str:
    """The one that is most frequent in a header, outside of quotes."""
    counts: Counter[str] = Counter()
    quoted = False
    for letter in line:
        if letter == '"':
            quoted = not quoted
        elif not quoted and letter in _DELIMITERS:
            counts[letter] += 1
    return max(_DELIMITERS, key=lambda delimiter: counts[delimiter]) if counts else ","


def _unique(names: Iterable[str], where: str) -> list[str]:
    names = [name.strip() for name in names]
    twice = [name for name, count in Counter(names).items() if count > 1 and name]
    if twice:
        raise DataError(f"the manifest {shown(where)} has the column {shown(twice[0])} twice; rename or remove one")
    return names


def _read_delimited(path: Path, file: TextIO) -> Table:
    first = file.readline()
    file.seek(0)
    rows = csv.reader(file, delimiter=_delimiter(first), skipinitialspace=True)
    header = _unique(next(rows, []), path.name)
    columns: list[list[Any]] = [[] for _ in header]
    count = 0
    for row in rows:
        if not row or not any(cell.strip() for cell in row):
            continue
        if len(row) > len(header) and any(cell.strip() for cell in row[len(header) :]):
            raise DataError(
                f"the manifest {shown(path.name)} has {len(row)} cells in line {rows.line_num}, its header "
                f"{len(header)}; quote cells that hold the delimiter"
            )
        count += 1
        for number, column in enumerate(columns):
            column.append(row[number] if number < len(row) else None)
    return Table(path, {name: column for name, column in zip(header, columns, strict=True) if name}, count)


def _objects(file: TextIO, path: Path, place: list[int]) -> Iterator[Any]:
    if path.suffix.lower() in _LINES:
        for place[0], line in enumerate(file, 1):
            if line.strip():
                yield json.loads(line)
        return
    if path.stat().st_size > _LARGEST_JSON:
        raise NotATableError(f"it has more than {_LARGEST_JSON >> 20} MB, which is no table of labels")
    content = json.load(file)
    if not isinstance(content, list):
        raise NotATableError("it is no list of rows")
    yield from content


def _read_json(path: Path, file: TextIO, place: list[int]) -> Table:
    columns: dict[str, list[Any]] = {}
    count = 0
    for row in _objects(file, path, place):
        if not isinstance(row, dict):
            if path.suffix.lower() in _LINES:
                raise DataError(
                    f"the manifest {shown(path.name)} has rows that are no objects; write each as "
                    '{"file": …, "label": …}'
                )
            raise NotATableError("its rows are no objects")
        for name, value in row.items():
            column = columns.get(name)
            if column is None:
                column = columns[name] = [None] * count
            column.append(value)
        count += 1
        for column in columns.values():
            if len(column) < count:
                column.append(None)
    return Table(path, columns, count)


def read_table(path: Path) -> Table:
    """Read a table. Raises DataError for one that is broken, and NotATableError for another kind of file."""
    place = [0]
    try:
        with path.open(encoding=_encoding(path), newline="") as file:
            delimited = path.suffix.lower() in _DELIMITED
            return _read_delimited(path, file) if delimited else _read_json(path, file, place)
    except RecursionError:
        why = f"line {place[0]} is nested too deep" if place[0] else "it is nested too deep"
    except UnicodeError:
        why = "it is not UTF-8; save it as UTF-8"
    except (OSError, ValueError, csv.Error) as error:
        why = f"line {place[0]}: {error}" if place[0] else str(error)
    raise DataError(f"the manifest {shown(path.name)} can't be read: {why}")


def without_header(table: Table) -> Table:
    """The same table where the first line is a row like the others."""
    columns = {str(number): [name, *values] for number, (name, values) in enumerate(table.columns.items(), 1)}
    return Table(table.path, columns, table.rows + 1, headless=True)
