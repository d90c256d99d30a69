"""Which column of a table holds the labels, and what a column of labels may be: texts, lists, one column a class."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from fastai_training.data.labels import DataError, Note
from fastai_training.data.readers.reader import Asked
from fastai_training.data.readers.rows import refuse_several
from fastai_training.data.readers.tables import Table, as_text
from fastai_training.quoting import shown

#: By which a column of labels is known, the surest first.
LABEL_COLUMNS = (
    *("label", "class", "category", "target", "class_name", "label_name", "category_name", "labels", "tags", "tag"),
    *("breed", "species", "diagnosis", "class_id", "label_id", "category_id", "y"),
)
#: What a list looks like in a cell of CSV.
_LIST = re.compile(r"^[\[(].*[\])]$", re.DOTALL)
#: What may lie between several labels in one cell.
_BETWEEN = (" ", ",", ";", "|")


def plain(name: str) -> str:
    """Return a column's name as it is compared: lower case, words joined by underscores."""
    return re.sub(r"[^a-z0-9]+", "_", name.strip().lower()).strip("_")


@dataclass
class Labels:
    """The labels of a table's rows, "" for none. ``where``: the table and its column, in words."""

    where: str
    columns: list[str]
    values: list[str]
    notes: list[Note] = field(default_factory=list)


def find_label_column(table: Table, others: Sequence[str], asked: Asked) -> list[str]:
    """Return the names of the columns that hold the labels: one, or several for one column a class.

    ``others``: the columns that are nothing else yet. No name where the table has no column of labels. Raises
    DataError where several could be it, or where the one that was asked for isn't there.
    """
    if asked.label_column:
        return _asked(table, asked.label_column)
    by_plain = {plain(name): name for name in others}
    known = [by_plain[name] for name in LABEL_COLUMNS if name in by_plain]
    if known:
        return [_one_of(table, known)]
    one_hot = [name for name in others if _is_indicator(table.columns[name])]
    if len(one_hot) > 1:
        return one_hot
    return list(others) if len(others) == 1 else []


def _asked(table: Table, name: str) -> list[str]:
    if name in table.columns:
        return [name]
    by_plain = {plain(column): column for column in table.columns}
    if plain(name) in by_plain:
        return [by_plain[plain(name)]]
    wanted = [part.strip() for part in name.split(",") if part.strip()]
    if len(wanted) > 1 and all(part in table.columns for part in wanted):
        raise DataError(
            f"label_column={name} names several columns, which are several labels a picture (task=multi); this version "
            "can't train them: name one"
        )
    return []


def _one_of(table: Table, known: list[str]) -> str:
    """The one column of labels among those that are known by their names. Raises DataError."""
    first = known[0]
    for other in known[1:]:
        try:
            texts, others = table.texts(first), table.texts(other)
        except DataError:  # lists are no other names of the same classes
            texts, others = ["a", "a"], ["a", "b"]
        pairs = set(zip(texts, others, strict=True))
        if len(pairs) == len(set(texts)) == len(set(others)):  # an index and a name of the same classes
            if _all_numbers(texts) and not _all_numbers(others):
                first = other
            continue
        raise DataError(
            f"{shown(table.name)} has several columns of labels: {', '.join(map(shown, known))}; set label_column to "
            "the one that is to be learned"
        )
    return first


def _all_numbers(values: Sequence[str]) -> bool:
    return all(is_number(value) for value in values if value)


def is_number(text: str) -> bool:
    """Return whether a label is written as a number."""
    try:
        float(text)
    except ValueError:
        return False
    return text.lower().lstrip("+-") not in ("nan", "inf", "infinity")


def _is_indicator(values: Sequence[Any]) -> bool:
    found = {as_text(value) for value in values}
    return bool(found) and found <= {"0", "1", "0.0", "1.0", "True", "False", "true", "false"}


def read_labels(table: Table, columns: list[str], asked: Asked, files: Sequence[str]) -> Labels:
    """Read one label for each row from ``columns``. Raises DataError for several labels a picture, and for numbers."""
    where = f"{shown(table.name)}, column {shown(columns[0])}"
    if len(columns) > 1:
        where = f"{shown(table.name)}, {len(columns)} columns of 0 and 1 ({', '.join(map(shown, columns[:4]))})"
        return Labels(where, columns, _one_hot(table, columns, where, files))
    column = table.columns[columns[0]]
    if lists := _lists(column, asked.label_delim):
        refuse_several(where, lists, files)
        return Labels(where, columns, [labels[0] if labels else "" for labels in lists])
    values = table.texts(columns[0])
    notes = []
    if asked.label_delim:
        notes.append(Note(f"label_delim={asked.label_delim!r} has no effect: no label of {where} holds it"))
    refuse_values(values, where)
    notes += _words(values, where)
    return Labels(where, columns, values, notes)


def _one_hot(table: Table, columns: list[str], where: str, files: Sequence[str]) -> list[str]:
    rows: list[list[str]] = [[] for _ in range(table.rows)]
    for name in columns:
        for labels, value in zip(rows, table.columns[name], strict=True):
            if as_text(value).lower() in ("1", "1.0", "true"):
                labels.append(name)
    refuse_several(where, rows, files)
    return [labels[0] if labels else "" for labels in rows]


def _lists(column: Sequence[Any], delimiter: str) -> list[list[str]]:
    """The labels of each row where the column holds lists, or texts to be cut at ``delimiter``; nothing where not."""
    if any(isinstance(value, list) for value in column):
        return [_list(value) for value in column]
    texts = [value for value in column if isinstance(value, str)]
    if (
        texts
        and all(_LIST.match(text.strip()) for text in texts if text.strip())
        and any(text.strip() for text in texts)
    ):
        return [_list(value) for value in column]
    delimiter = delimiter.encode().decode("unicode_escape") if delimiter.startswith("\\") else delimiter
    if delimiter and any(delimiter in text.strip() for text in texts):
        return [[part.strip() for part in as_text(value).split(delimiter) if part.strip()] for value in column]
    return []


def _list(value: Any) -> list[str]:
    if isinstance(value, str) and _LIST.match(value.strip()):
        try:
            value = ast.literal_eval(value.strip())
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            value = [part.strip(" '\"") for part in value.strip()[1:-1].split(",")]
    if isinstance(value, list | tuple):
        return [text for part in value if (text := as_text(part))]
    return [text] if (text := as_text(value)) else []


def refuse_values(values: Sequence[str], where: str) -> None:
    """Raise DataError for numbers that are measured rather than named, and for a column that is no list of classes."""
    given = [value for value in values if value]
    distinct = set(given)
    if len(given) < 6 or not distinct:
        return
    if _all_numbers(given):
        fractions = any(float(value) != int(float(value)) for value in distinct if abs(float(value)) < 1e18)
        if len(distinct) > len(given) / 2 or (fractions and len(distinct) > 20):
            raise DataError(
                f"{where} holds {len(distinct)} different numbers for {len(given)} pictures (for example "
                f"{shown(given[0])}): these are values, not classes, so they would be learned by regression "
                "(task=regression), which this version can't train. Name the column of the classes by label_column"
            )
    elif len(given) >= 12 and len(distinct) > 0.8 * len(given):
        raise DataError(
            f"{where} holds {len(distinct)} different texts for {len(given)} pictures (for example {shown(given[0])}): "
            "almost every picture would be a class of its own. Name the column of the classes by label_column"
        )


def _words(values: Sequence[str], where: str) -> list[Note]:
    """A note where labels are made of other labels, so that they may be several in one cell."""
    distinct = set(values) - {""}
    for between in _BETWEEN:
        made = {
            value
            for value in distinct
            if between in value and all(part.strip() in distinct for part in value.split(between) if part.strip())
        }
        if made:
            count = sum(1 for value in values if value in made)
            text = (
                f"{count} labels of {where} are made of other labels; each is taken as a class of its own. If they are "
                f"several labels of one picture, set label_delim={between!r}"
            )
            return [Note(text, sorted(made)[0])]
    return []
