"""Which column of a table holds the labels, and what a column of labels may be: texts, lists, one column a class."""

from __future__ import annotations

import ast
import math
import os
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from fastai_container.pictures import SUFFIXES
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
#: By which a lone column is known to describe the file rather than what it shows.
NO_LABELS = frozenset(
    (
        *("width", "height", "size", "bytes", "file_size", "filesize", "md5", "sha1", "sha256", "hash", "checksum"),
        *("date", "time", "datetime", "timestamp", "created", "modified", "url", "link", "index"),
        *("caption", "description", "comment", "comments", "lat", "latitude", "lon", "longitude"),
    )
)
#: Columns of other tasks than classification.
_MASKS = frozenset(
    {"mask", "masks", "mask_path", "mask_file", "encodedpixels", "encoded_pixels", "rle", "segmentation"}
)
_BOXES = frozenset(
    {"bbox", "bboxes", "boxes", "bounding_box", "xmin", "x_min", "polygon", "polygons", "region_shape_attributes"}
)
#: What a list looks like in a cell of CSV.
_LIST = re.compile(r"^(?:\[.*\]|\(.*\)|\{.*\})$", re.DOTALL)
#: Texts of a list without commas, as numpy writes it: ['a' 'b'].
_NUMPY = re.compile(r"""(?:'[^']*'|"[^"]*")\s+(?=['"])""")
#: What is written where there is no value: always, and where it could be a class's name but is a table's word for none.
_NONE = frozenset({"nan", "<na>", "nat"})
_PERHAPS_NONE = frozenset({"na", "n/a", "#n/a", "null", "none", "-", "?"})
#: A number with a decimal comma.
_COMMA = re.compile(r"^[+-]?\d+,\d+$")
_WHOLE = re.compile(r"^[+-]?\d+\.0+$")
#: With a larger share of rows that have 1 in none of the columns, these are no columns of classes.
_MOST_WITHOUT = 0.5
#: As many labels, made of at most half as many words, are perhaps several words a picture.
_MANY_LABELS = 10
#: More numbers than these are perhaps values.
_MANY_NUMBERS = 20
#: What may lie between several labels in one cell.
_BETWEEN = (" ", ",", ";", "|")


def plain(name: str) -> str:
    """Return a column's name as it is compared: lower case, words joined by underscores."""
    return re.sub(r"[\W_]+", "_", name.strip().lower()).strip("_")


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
    names = {plain(name) for name in others}
    known = [name for word in LABEL_COLUMNS for name in others if plain(name) == word]
    if "x" in names:  # a place, not a label
        known = [name for name in known if plain(name) != "y"]
    if known:
        return [_one_of(table, known)]
    one_hot = [name for name in others if _is_indicator(table.columns[name])]
    if len(one_hot) > 1 and not table.headless:  # without a header, classes would be called by columns' numbers
        return one_hot
    return [others[0]] if len(others) == 1 and plain(others[0]) not in NO_LABELS | _MASKS | _BOXES else []


def other_task(others: Sequence[str]) -> str:
    """Return in words what else than classes a table's columns are for, which can't be trained; "" for nothing."""
    for name in others:
        if plain(name) in _MASKS:
            return f"holds masks ({shown(name)}) for segmentation (task=segmentation), which this version can't train"
        if plain(name) in _BOXES:
            return f"holds boxes ({shown(name)}) for object detection, which this project doesn't train"
    return ""


def _asked(table: Table, name: str) -> list[str]:
    if name in table.columns:
        return [name]
    alike = [column for column in table.columns if plain(column) == plain(name) != ""]
    if len(alike) > 1:
        raise DataError(
            f"{shown(table.name)} has the columns {', '.join(map(shown, alike))}, which could all be "
            f"label_column={name}; write its name as the table has it"
        )
    if alike:
        return alike
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


def _number(text: str) -> float:
    return float(text.replace(",", ".") if _COMMA.match(text) else text)


def _all_numbers(values: Sequence[str]) -> bool:
    return all(is_number(value) for value in values if value)


def is_number(text: str) -> bool:
    """Return whether a label is written as a number, with a point or a comma."""
    try:
        return "_" not in text and math.isfinite(_number(text))
    except ValueError:
        return False


def _is_indicator(values: Sequence[Any]) -> bool:
    found = {as_text(value).lower() for value in values} - {""}
    return bool(found) and found <= {"0", "1", "0.0", "1.0", "true", "false"}


def read_labels(table: Table, columns: list[str], asked: Asked, files: Sequence[str]) -> Labels:
    """Read one label for each row from ``columns``. Raises DataError for several labels a picture, and for numbers."""
    where = f"{shown(table.name)}, column {shown(columns[0])}"
    if len(columns) > 1:
        where = f"{shown(table.name)}, {len(columns)} columns of 0 and 1 ({', '.join(map(shown, columns[:4]))})"
        return Labels(where, columns, _one_hot(table, columns, where, files), _no_delimiter(asked, where))
    column = table.columns[columns[0]]
    try:
        lists = _lists(column, asked.label_delim)
    except DataError as error:
        raise DataError(f"{where}: {error}") from None
    if lists:
        refuse_several(where, lists, files)
        return Labels(where, columns, [labels[0] if labels else "" for labels in lists])
    _refuse_mixed(column, where)
    values, notes = _without_none(table.texts(columns[0]), where)
    notes = _no_delimiter(asked, where) + notes
    refuse_values(values, where)
    values, told = _whole_numbers(values, where)
    return Labels(where, columns, values, notes + told + _words(values, where))


def _no_delimiter(asked: Asked, where: str) -> list[Note]:
    if not asked.label_delim:
        return []
    return [Note(f"label_delim={asked.label_delim!r} has no effect: no label of {where} holds it")]


def _refuse_mixed(column: Sequence[Any], where: str) -> None:
    """Raise DataError for a column in which true and 1 would be two classes."""
    if any(isinstance(value, bool) for value in column):
        other = next((value for value in column if value is not None and not isinstance(value, bool)), None)
        if other is not None:
            raise DataError(
                f"{where} holds true and false as well as other values (for example {shown(as_text(other))}); write "
                "every class in one way"
            )


def _without_none(values: list[str], where: str) -> tuple[list[str], list[Note]]:
    """The labels, "" for words that say that there is none; a note on these, and on words that may say so."""
    absent = Counter(value for value in values if value.lower() in _NONE)
    perhaps = Counter(value for value in values if value.lower() in _PERHAPS_NONE)
    others = {value for value in values if value} - set(absent) - set(perhaps)
    if perhaps and others and _all_numbers(list(others)):
        absent, perhaps = absent + perhaps, Counter()
    notes = []
    if absent:
        text = f"{sum(absent.values())} cells of {where} say that there is no label ({', '.join(map(shown, absent))})"
        notes.append(Note(text))
    for word, count in perhaps.items():
        text = (
            f"{count} labels of {where} read {shown(word)}, which is taken as a class's name; leave the cell empty "
            "where there is no label"
        )
        notes.append(Note(text))
    return ["" if value in absent else value for value in values], notes


def _whole_numbers(values: list[str], where: str) -> tuple[list[str], list[Note]]:
    """Class indices without a fraction: a table that lacked one label has 1.0 in place of 1. Notes on numbers."""
    distinct = {value for value in values if value}
    if not distinct or not _all_numbers(list(distinct)):
        if some := {value for value in distinct if is_number(value)}:
            count = sum(1 for value in values if value in some)
            text = f"{count} labels of {where} are numbers, the others names; each is a class of its own"
            return values, [Note(text, min(some))]
        return values, []
    notes = []
    if any(_WHOLE.match(value) for value in distinct) and all(_number(value).is_integer() for value in distinct):
        values = [value.partition(".")[0] if _WHOLE.match(value) else value for value in values]
        notes.append(Note(f"the numbers of {where} are written without a fraction: 1.0 is the class 1"))
    by_value: dict[float, set[str]] = defaultdict(set)
    for value in set(values) - {""}:
        by_value[_number(value)].add(value)
    if several := [found for found in by_value.values() if len(found) > 1]:
        text = f"{len(several)} numbers of {where} are written in several ways, each of them a class of its own"
        notes.append(Note(text, ", ".join(sorted(several[0]))))
    if len(by_value) > _MANY_NUMBERS or not all(number.is_integer() for number in by_value):
        text = (
            f"{where} holds {len(by_value)} different numbers, each taken as a class of its own. If they are measured, "
            "they would be learned by regression (task=regression), which this version can't train"
        )
        notes.append(Note(text))
    return values, notes


def _one_hot(table: Table, columns: list[str], where: str, files: Sequence[str]) -> list[str]:
    rows: list[list[str]] = [[] for _ in range(table.rows)]
    for name in columns:
        for labels, value in zip(rows, table.columns[name], strict=True):
            if as_text(value).lower() in ("1", "1.0", "true"):
                labels.append(name)
    refuse_several(where, rows, files)
    without = sum(1 for labels in rows if not labels)
    if without > _MOST_WITHOUT * len(rows):
        raise DataError(
            f"{where}: {without} of {len(rows)} rows have 1 in none of them, so they are no columns of classes; name "
            "the column of the labels by label_column"
        )
    return [labels[0] if labels else "" for labels in rows]


def _lists(column: Sequence[Any], delimiter: str) -> list[list[str]]:
    """The labels of each row where the column holds lists, or texts to be cut at ``delimiter``; nothing where not."""
    if any(isinstance(value, list) for value in column):
        return [_list(value) for value in column]
    texts = [text for value in column if isinstance(value, str) and (text := value.strip())]
    if texts and (all(_LIST.match(text) for text in texts) or any(len(_written(text)) > 1 for text in texts)):
        return [_list(value) for value in column]
    delimiter = {"\\t": "\t", "\\n": "\n"}.get(delimiter, delimiter)  # as a shell passes them
    if delimiter and any(delimiter in text for text in texts):
        return [[part.strip() for part in as_text(value).split(delimiter) if part.strip()] for value in column]
    return []


def _written(text: str) -> Sequence[Any]:
    """The parts of a list, tuple or set as Python and numpy write it; nothing for another text."""
    if not _LIST.match(text):
        return []
    if text.startswith("{") and ":" in text:
        raise DataError(f"a label is an object ({shown(text[:80])}); give each picture one text or number there")
    try:
        value = ast.literal_eval(_NUMPY.sub(lambda match: match[0] + ",", text))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return []
    return list(value) if isinstance(value, list | tuple | set) else []


def _list(value: Any) -> list[str]:
    if isinstance(value, str) and _LIST.match(value.strip()):
        text = value.strip()
        value = _written(text) or [part.strip(" '\"") for part in text[1:-1].split(",")]
    if isinstance(value, list | tuple):
        if any(isinstance(part, list | dict) for part in value):
            raise DataError(f"a label is a list of lists or objects ({shown(value)}); give each picture one text there")
        return [text for part in value if (text := as_text(part))]
    return [text] if (text := as_text(value)) else []


def refuse_values(values: Sequence[str], where: str) -> None:
    """Raise DataError for numbers that are measured rather than named, and for a column that is no list of classes."""
    given = [value for value in values if value]
    distinct = set(given)
    pictures = [value for value in given if os.path.splitext(value)[1].lower() in SUFFIXES]  # noqa: PTH122 - of each row
    if len(pictures) > len(given) / 2:
        raise DataError(
            f"{where} holds names of pictures (for example {shown(pictures[0])}), not of classes: masks are learned by "
            "segmentation (task=segmentation), which this version can't train. Name the column of the classes by "
            "label_column"
        )
    if len(given) < 6 or not distinct:
        return
    if _all_numbers(given):
        fractions = not all(_number(value).is_integer() for value in distinct)
        if len(distinct) > len(given) / 2 or (fractions and len(distinct) > _MANY_NUMBERS):
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
        words = {part for value in distinct for part in value.split(between)}
        if len(distinct) >= _MANY_LABELS and len(words) <= len(distinct) / 2:
            text = (
                f"the {len(distinct)} different labels of {where} are made of {len(words)} words; each is taken as a "
                f"class of its own. If the words are several labels of one picture, set label_delim={between!r}"
            )
            return [Note(text, min(value for value in distinct if between in value))]
    return []
