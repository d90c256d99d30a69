"""Text that comes from users' files, made fit for a log's line and for a cell of a spreadsheet."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence

#: A longer name is cut to so many characters.
SHOWN = 200
#: A name that has this could be read as a metric (metrics.py, and the expressions that users write).
_METRIC = re.compile(r"\w=(?:[-+.\d]|nan|inf)")
#: What a spreadsheet takes for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def utf8(text: str) -> str:
    """Replace what is not UTF-8 in a file's name by question marks."""
    return text.encode("utf-8", "replace").decode()


def shown(text: object) -> str:
    """Return a name as one line of a log shows it: quoted when it has line ends, escape codes or a metric."""
    name = str(text)
    if len(name) > SHOWN:
        name = name[: SHOWN - 3] + "..."
    if name.isprintable() and not _METRIC.search(name):
        return name
    return repr(name).replace("=", r"\x3d")


def cell(value: object) -> object:
    """Return a value as a CSV file has it: UTF-8, an apostrophe before what a spreadsheet would run as a formula."""
    if not isinstance(value, str):
        return value
    text = utf8(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def csv_text(header: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    """Write a CSV file of these cells, each as ``cell`` has it."""
    stream = io.StringIO(newline="")
    writer = csv.writer(stream)
    writer.writerow([cell(value) for value in header])
    writer.writerows([cell(value) for value in row] for row in rows)
    return stream.getvalue()
