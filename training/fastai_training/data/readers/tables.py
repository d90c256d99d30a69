"""Read tables of any of the kinds in which labels come: CSV with some delimiter, JSON lines, a JSON list of objects."""

from __future__ import annotations

import codecs
import csv
import itertools
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from fastai_training.data.labels import DataError
from fastai_training.quoting import shown

_DELIMITED = frozenset({".csv", ".tsv"})
_LINES = frozenset({".jsonl", ".ndjson", ".manifest"})
#: Bytes; a larger JSON file is no table of labels but a data set's annotations in one piece.
_LARGEST_JSON = 256 << 20
#: Commas last: where another makes as many cells, they are in numbers or texts.
_DELIMITERS = ";\t|,"
#: Names that the objects of a JSON file may have; with more each row has names of its own.
_MOST_NAMES = 5000
#: Lines that are looked at to tell the delimiter.
_SAMPLED = 50
#: The line by which Excel tells the delimiter.
_TOLD = re.compile(r"^\"?sep=([,;\t| ])\"?\s*$", re.IGNORECASE)
#: What a file of the COCO data set's form has.
_COCO = frozenset({"images", "annotations"})
#: How a column without a name begins, as in pandas; that of pandas' own index is one.
UNNAMED = "Unnamed: "


class NotATableError(Exception):
    """A file that can be read but is not a table; the text says what it is."""


@dataclass
class Table:
    """A table by its columns, each with a value for every row; None where a row has none.

    ``header``: the cells of the first line as they stand there. ``twice``: a name that several columns have, "" for
    none. ``headless``: its file has no header, so that the columns are called 1, 2, ….
    """

    path: Path
    columns: dict[str, list[Any]]
    rows: int
    header: list[str] = field(default_factory=list)
    twice: str = ""
    headless: bool = False

    @property
    def name(self) -> str:
        return self.path.name

    def refuse_twice(self) -> None:
        """Raise DataError where several columns have one name."""
        if self.twice:
            raise DataError(
                f"the manifest {shown(self.name)} has the column {shown(self.twice)} twice; rename or remove one"
            )

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


def _text_lines(file: Iterable[str]) -> Iterator[str]:
    """The lines of ``file``. Raises ValueError for one that is no text."""
    for line in file:
        if "\0" in line:
            raise ValueError("it holds zero bytes, so is no text, or UTF-16 without a mark; save it as UTF-8")
        yield line


def _delimiter(sample: list[str]) -> str:
    """The one that cuts the lines into as many cells as the first, the header; of several, that which makes most."""
    best, best_score = ",", (-1.0, 0)
    for delimiter in _DELIMITERS:
        try:
            sizes = [len(row) for row in csv.reader(sample, delimiter=delimiter, skipinitialspace=True) if row]
        except csv.Error:
            continue
        if not sizes or sizes[0] < 2:
            continue
        score = (sum(size == sizes[0] for size in sizes) / len(sizes), sizes[0])
        if score > best_score:
            best, best_score = delimiter, score
    return best


def _column_names(header: list[str]) -> tuple[list[str], str]:
    """A name of its own for every column, and one that is there twice. Those without one are called as pandas does."""
    names: dict[str, None] = {}
    twice = ""
    for number, cell in enumerate(header):
        name = cell.strip() or f"{UNNAMED}{number}"
        if name in names:
            twice = twice or name
            name = f"{name} ({number + 1})"
        names[name] = None
    return list(names), twice


def _read_delimited(path: Path, file: TextIO, place: list[int]) -> Table:
    lines = _text_lines(file)
    sample = list(itertools.islice(lines, _SAMPLED))
    start = 0
    if sample and (told := _TOLD.match(sample[0])):  # what Excel writes before the header
        delimiter, start = told[1], 1
    else:
        delimiter = _delimiter(sample)
    rows = csv.reader(
        itertools.chain(sample[start:], lines), delimiter=delimiter, skipinitialspace=delimiter != " ", strict=True
    )
    place[0] = start + 1
    header = next((row for row in rows if any(cell.strip() for cell in row)), [])
    place[0] = start + rows.line_num + 1  # of the next row, in which an error would be
    names, twice = _column_names(header)
    columns: list[list[Any]] = [[] for _ in header]
    count = 0
    for row in rows:
        place[0] = start + rows.line_num + 1
        if not row or not any(cell.strip() for cell in row):
            continue
        if len(row) > len(header) and any(cell.strip() for cell in row[len(header) :]):
            raise DataError(
                f"the manifest {shown(path.name)} has {len(row)} cells in line {start + rows.line_num}, its header "
                f"{len(header)}; quote cells that hold the delimiter"
            )
        count += 1
        for number, column in enumerate(columns):
            column.append(row[number] if number < len(row) else None)
    kept = {
        name: column
        for name, cell, column in zip(names, header, columns, strict=True)
        if cell.strip() or any(value and value.strip() for value in column)
    }
    return Table(path, kept, count, header, twice)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        name = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise ValueError(f"an object has {name[:50]!r} twice")
    return found


def _constant(name: str) -> float | None:
    """What Python's and pandas' JSON has beyond the standard; NaN is how they write that there is no value."""
    return None if name == "NaN" else float(name)


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant)


def _lines_of_json(lines: Iterable[str], place: list[int]) -> Iterator[Any]:
    for place[0], line in enumerate(lines, 1):
        if line.strip():
            yield _DECODER.decode(line.strip())


def _objects(file: TextIO, path: Path, place: list[int]) -> Iterator[Any]:
    if path.suffix.lower() in _LINES:
        yield from _lines_of_json(_text_lines(file), place)
        return
    if path.stat().st_size > _LARGEST_JSON:
        raise NotATableError(f"it has more than {_LARGEST_JSON >> 20} MB, which is no table of labels")
    text = file.read().strip()
    try:
        content = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        if not error.msg.startswith("Extra data"):
            raise
        yield from _lines_of_json(re.split(r"\r\n?|\n", text), place)  # many call JSON lines .json
        return
    if isinstance(content, dict) and set(content) >= _COCO:
        raise NotATableError(
            "it is in COCO's form, whose boxes and masks are not read; write a table with file and label"
        )
    if not isinstance(content, list):
        raise NotATableError('it is no list of rows, [{"file": …, "label": …}, …]')
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
                if len(columns) == _MOST_NAMES:
                    raise NotATableError(f"its rows have more than {_MOST_NAMES:,} names, so are no rows of one table")
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
    hint = ""
    try:
        with path.open(encoding=_encoding(path), newline="") as file:
            delimited = path.suffix.lower() in _DELIMITED
            return _read_delimited(path, file, place) if delimited else _read_json(path, file, place)
    except RecursionError:
        why = f"line {place[0]} is nested too deep" if place[0] else "it is nested too deep"
    except UnicodeError:
        why = "it is not UTF-8; save it as UTF-8"
    except csv.Error as error:
        why = f"line {place[0]}: {error}"
        hint = "; a cell with quotes, delimiters or line ends is put in quotes, and the quotes in it are doubled"
        if "field limit" in why:
            hint = "; remove the column of such long cells"
    except (OSError, ValueError) as error:
        why = f"line {place[0]}: {error}" if place[0] else str(error)
    raise DataError(f"the manifest {shown(path.name)} can't be read: {why}{hint}")


def without_header(table: Table) -> Table:
    """The same table where the first line is a row like the others."""
    columns: dict[str, list[Any]] = {}
    for number, (name, cell) in enumerate(zip(_column_names(table.header)[0], table.header, strict=True), 1):
        if name in table.columns:
            columns[str(number)] = [cell, *table.columns[name]]
    return Table(table.path, columns, table.rows + 1, table.header, headless=True)
