"""Labels from a manifest: a table (CSV, TSV, JSON lines, JSON) with a row a picture, which names its file and label."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from fastai_training.data.given_split import read_column, split_column, split_of_name
from fastai_training.data.labels import DataError, Examples, Note
from fastai_training.data.readers import rows
from fastai_training.data.readers.label_column import Labels, find_label_column, is_number, plain, read_labels
from fastai_training.data.readers.reader import Channel, Reader
from fastai_training.data.readers.tables import NotATableError, Table, as_text, read_table, without_header
from fastai_training.quoting import shown

FILE_COLUMNS = (
    *("file", "filename", "file_name", "image", "image_path", "path", "source_ref", "fname", "name", "image_id"),
    *("img", "img_path", "image_name", "filepath", "file_path", "id", "picture", "photo", "uri", "url"),
)
#: Rows that are looked at to tell which column names the files.
_SAMPLED = 100
_SUBMISSION = re.compile(r"(?:^|[_\W])(?:sample[_\W]*)?submission|submit", re.IGNORECASE)
_LIST_SUFFIX = ".lst"


@dataclass
class Candidate:
    """A table that may be the manifest. ``files``: the column that names files, "" for none; ``share`` of the rows
    looked at whose file is there."""

    table: Table
    files: str
    share: float
    labels: list[str] = field(default_factory=list)


def _candidate(channel: Channel, table: Table) -> Candidate:
    best, best_share = "", 0.0
    names = sorted(table.columns, key=_rank)
    step = max(1, table.rows // _SAMPLED)
    for name in names:
        values = [value for value in table.columns[name][::step] if isinstance(value, str | int) and as_text(value)]
        if not values:
            continue
        share = sum(1 for value in values if channel.index.find(as_text(value))[0] is not None) / len(values)
        if share > best_share:
            best, best_share = name, share
    if not best and not table.headless and any(channel.index.find(name)[0] for name in table.columns):
        return _candidate(channel, without_header(table))
    known = [name for name in names if plain(name) in FILE_COLUMNS]
    return Candidate(table, best or (known[0] if known else ""), best_share)


def _rank(name: str) -> int:
    return FILE_COLUMNS.index(plain(name)) if plain(name) in FILE_COLUMNS else len(FILE_COLUMNS)


def _others(candidate: Candidate, channel: Channel) -> list[str]:
    """The columns that may hold labels."""
    names = list(candidate.table.columns)
    used = {candidate.files, split_column(names), channel.asked.group_column}
    return [name for name in names if name not in used and not name.lower().startswith("unnamed")]


def _read_all(channel: Channel, paths: Sequence[Path]) -> tuple[list[Candidate], list[DataError]]:
    """The tables among ``paths``, and what is wrong with those that can't be read; notes on the rest."""
    found, broken = [], []
    for path in paths:
        name = channel.name(path)
        try:
            table = read_table(path)
        except NotATableError as error:
            channel.notes.append(Note(f"{shown(name)} is not used: {error}"))
            continue
        except DataError as error:
            broken.append(error)
            continue
        if table.rows == 0:
            broken.append(
                DataError(f"the manifest {shown(name)} has no rows; give each picture a row with file and label")
            )
            continue
        found.append(_candidate(channel, table))
    return found, broken


def _named(channel: Channel) -> list[Path]:
    """The tables to look at; the one that the user named where there is one. Raises DataError."""
    tables = [path for path in channel.tables if path.suffix.lower() != _LIST_SUFFIX]
    wanted = channel.asked.manifest
    if not wanted:
        return tables
    chosen = [path for path in tables if wanted in (channel.name(path), path.name)]
    if len(chosen) != 1:
        held = ", ".join(shown(channel.name(path)) for path in tables[:10]) or "none"
        raise DataError(
            f"manifest={wanted} is {'no table' if not chosen else 'the name of several tables'} of {channel.root}; "
            f"its tables: {held}"
        )
    return chosen


def _usable(channel: Channel, found: list[Candidate], *, forced: bool) -> list[Candidate]:
    """The candidates that name both files and labels; notes on the others. Raises DataError."""
    usable = []
    wanted = channel.asked.label_column
    for candidate in found:
        name = shown(channel.name(candidate.table.path))
        if candidate.files:
            candidate.labels = find_label_column(candidate.table, _others(candidate, channel), channel.asked)
        columns = ", ".join(map(shown, list(candidate.table.columns)[:20]))
        if candidate.files and candidate.labels:
            usable.append(candidate)
        elif forced or (len(found) == 1 and (wanted or (candidate.share and _may_hold_labels(candidate, channel)))):
            missing = f"column {wanted!r}" if wanted and candidate.files else "columns for file and label"
            raise DataError(
                f"{name} has no {missing}; its columns are {columns}. Name them file and label, or set the "
                "hyperparameter label_column"
            )
        else:
            lacking = f"label_column={wanted}" if wanted and candidate.files else "a picture and its label"
            channel.notes.append(Note(f"{name} is not used: no column of it names {lacking}", columns))
    if wanted and found and not usable:
        held = "; ".join(
            f"{shown(one.table.name)} has {', '.join(map(shown, list(one.table.columns)[:10]))}" for one in found[:5]
        )
        raise DataError(f"no table of the channel has files and the column {wanted!r} (label_column): {held}")
    return usable


def _may_hold_labels(candidate: Candidate, channel: Channel) -> bool:
    """Whether a column that isn't known by its name repeats a few texts, as labels do."""
    for name in _others(candidate, channel):
        values = [as_text(value) for value in candidate.table.columns[name] if not isinstance(value, list | dict)]
        distinct = {value for value in values if value}
        if 2 <= len(distinct) <= len(values) / 2 and not all(is_number(value) for value in distinct):
            return True
    return False


def _choose(channel: Channel, usable: list[Candidate], *, forced: bool) -> list[Candidate]:
    """One table, or one for each part of a split. Raises DataError where several could be it."""
    if len(usable) > 1:
        with_files = [one for one in usable if one.share > 0]
        usable = with_files or usable
    if len(usable) > 1:
        kept = [one for one in usable if not _SUBMISSION.search(one.table.path.stem)]
        for one in usable:
            if kept and one not in kept:
                name = shown(channel.name(one.table.path))
                channel.notes.append(Note(f"{name} is not used: its {one.table.rows} rows are a sample submission"))
        usable = kept or usable
    if len(usable) < 2:
        return usable
    parts = [split_of_name(one.table.path.stem) for one in usable]
    if all(parts) and len(set(parts)) == len(parts):
        return usable
    names = ", ".join(shown(channel.name(one.table.path)) for one in usable)
    raise DataError(
        f"several manifests in {channel.root}: {names}; leave one, or name it by the hyperparameter manifest"
    )


def _rows(channel: Channel, candidate: Candidate, split: str) -> tuple[rows.Rows, Labels]:
    table, asked = candidate.table, channel.asked
    files = [as_text(value) for value in table.columns[candidate.files]]
    labels = read_labels(table, candidate.labels, asked, files)
    result = rows.Rows(table.name, files, labels.values, notes=list(labels.notes))
    column = split_column(list(table.columns))
    if split:
        result.splits = [split] * len(files)
    elif column and column not in candidate.labels:
        result.splits, told = read_column(column, table.texts(column), asked.valid_fold, table.name)
        result.notes.append(Note(told))
    if asked.group_column:
        if asked.group_column not in table.columns:
            raise DataError(
                f"{shown(table.name)} has no column {asked.group_column!r} (group_column); its columns are "
                f"{', '.join(map(shown, list(table.columns)[:20]))}"
            )
        result.groups = table.texts(asked.group_column)
    used = {candidate.files, *candidate.labels, column, asked.group_column}
    if unused := [name for name in table.columns if name not in used]:
        count = f"{len(unused)} column{'s' if len(unused) > 1 else ''}"
        result.notes.append(Note(f"{count} of {shown(table.name)} not used", ", ".join(unused[:8])))
    return result, labels


def _read(channel: Channel, *, forced: bool) -> Examples | None:
    paths = _named(channel)
    forced = forced or bool(channel.asked.manifest) or bool(channel.labels)
    if not paths:
        if forced or channel.asked.label_column:
            raise DataError(
                f"no manifest in {channel.root}; put one there: a .csv with a header, or .jsonl, with file and label"
            )
        return None
    found, broken = _read_all(channel, paths)
    usable = _choose(channel, _usable(channel, found, forced=forced and len(paths) == 1), forced=forced)
    if not usable:
        if broken:
            raise broken[0]
        if forced:
            names = ", ".join(shown(channel.name(path)) for path in paths[:5])
            raise DataError(f"no table of the channel names pictures and labels: {names}")
        return None
    channel.notes.extend(Note(f"not used: {error}") for error in broken)
    return _merged(channel, usable)


def _merged(channel: Channel, usable: list[Candidate]) -> Examples:
    """The examples of all tables together, each its own part of the split where there are several."""
    parts = []
    for candidate in usable:
        split = split_of_name(candidate.table.path.stem) if len(usable) > 1 else ""
        read, labels = _rows(channel, candidate, split)
        parts.append((read, labels))
    columns = [column for _, labels in parts for column in labels.columns]
    column = shown(columns[0]) if len(parts[0][1].columns) == 1 else f"{len(parts[0][1].columns)} columns"
    names = ", ".join(shown(read.name) for read, _ in parts)
    whole = parts[0][0]
    for read, _ in parts[1:]:
        whole = replace(
            whole,
            name=f"{whole.name}, {read.name}",
            files=whole.files + read.files,
            labels=whole.labels + read.labels,
            splits=whole.splits + read.splits,
            groups=whole.groups + read.groups,
            notes=whole.notes + read.notes,
        )
    return rows.build(channel, whole, f"manifest {names} (column {column})")


def read(channel: Channel) -> Examples:
    """Take pictures and labels from the manifest's rows; a row without a picture or a label is skipped."""
    examples = _read(channel, forced=True)
    assert examples is not None
    return examples


def _detect(channel: Channel) -> Examples | None:
    return _read(channel, forced=False)


READER = Reader("manifest", read, _detect, absent="no manifest", lists_files=True)
