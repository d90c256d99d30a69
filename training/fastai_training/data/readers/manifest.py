"""Labels from a manifest: a table (CSV, TSV, JSON lines, JSON) with a row a picture, which names its file and label."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fastai_container.pictures import SUFFIXES
from fastai_training.data.given_split import FOLD_COLUMNS, read_column, split_column
from fastai_training.data.labels import TRAIN, DataError, Examples, Note
from fastai_training.data.readers import rows
from fastai_training.data.readers.label_column import (
    LABEL_COLUMNS,
    find_label_column,
    is_number,
    other_task,
    plain,
    read_labels,
)
from fastai_training.data.readers.reader import Channel, Reader
from fastai_training.data.readers.tables import UNNAMED, NotATableError, Table, as_text, read_table, without_header
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
    """Find the column that names files: of those in which some are there, that with the most different ones."""
    place = rows.place_of(channel, table.path)
    if _first_line_is_row(channel, table, place):
        return _candidate(channel, without_header(table))
    table.refuse_twice()
    names = [name for name in sorted(table.columns, key=_rank) if not _is_label(channel, name)]
    best, share = _best_column(channel, table, names, max(1, table.rows // _SAMPLED))
    if not best and table.rows > _SAMPLED:  # few of many rows may be of this channel's pictures
        best, share = _best_column(channel, table, names, 1)
    known = [name for name in names if plain(name) in FILE_COLUMNS]
    return Candidate(table, best or (known[0] if known else ""), share)


def _best_column(channel: Channel, table: Table, names: list[str], step: int) -> tuple[str, float]:
    """Return the column that names most files of the channel, and in which share of its values; "" for none."""
    place = rows.place_of(channel, table.path)
    best, most, best_share = "", 0, 0.0
    for name in names:
        values = [value for value in table.columns[name][::step] if isinstance(value, str | int) and as_text(value)]
        found = [path for value in values if (path := channel.index.match(as_text(value), *place).path) is not None]
        if len(set(found)) > most:
            best, most, best_share = name, len(set(found)), len(found) / len(values)
    return best, best_share


def _is_label(channel: Channel, name: str) -> bool:
    """Whether a column holds labels by its name, so not files: 0 and 1 are found where pictures are called 0.jpg."""
    wanted = channel.asked.label_column
    return plain(name) in LABEL_COLUMNS or name == wanted or plain(name) == plain(wanted) != ""


def _first_line_is_row(channel: Channel, table: Table, place: tuple[str, str]) -> bool:
    """Whether the line that should be the header names a file, as the lines below it do."""
    if table.headless or not table.header:
        return False
    known = any(plain(name) in (*FILE_COLUMNS, *LABEL_COLUMNS) for name in table.columns)
    for name in table.columns:
        if known and Path(name).suffix.lower() not in SUFFIXES:  # there may be a picture cat.jpg and a column cat
            continue
        if channel.index.match(name, *place).path is None:
            continue
        below = [as_text(value) for value in table.columns[name][:_SAMPLED]]
        if any(channel.index.match(value, *place).path for value in below):
            return True
    return False


def _rank(name: str) -> int:
    return FILE_COLUMNS.index(plain(name)) if plain(name) in FILE_COLUMNS else len(FILE_COLUMNS)


def _others(candidate: Candidate, channel: Channel) -> list[str]:
    """The columns that may hold labels."""
    names = list(candidate.table.columns)
    used = {candidate.files, split_column(names), channel.asked.group_column}
    return [name for name in names if name not in used and not name.startswith(UNNAMED)]


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
        try:
            found.append(_candidate(channel, table))
        except DataError as error:
            broken.append(error)
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
    usable, doubtful = [], []
    wanted = channel.asked.label_column
    for candidate in found:
        name = shown(channel.name(candidate.table.path))
        if candidate.files:
            try:
                candidate.labels = find_label_column(candidate.table, _others(candidate, channel), channel.asked)
            except DataError as error:
                if candidate.share or len(found) == 1:
                    raise
                channel.notes.append(Note(f"not used: {error}"))
                continue
        columns = ", ".join(map(shown, list(candidate.table.columns)[:20]))
        missing = f"column {wanted!r}" if wanted and candidate.files else "columns for file and label"
        refusal = DataError(
            f"{name} has no {missing}; its columns are {columns}. Name them file and label, or set the "
            "hyperparameter label_column; where labels come from elsewhere, say so by label_from"
        )
        if candidate.files and candidate.labels:
            usable.append(candidate)
        elif forced or (len(found) == 1 and wanted):
            raise refusal
        else:
            task = other_task(_others(candidate, channel))
            if task and candidate.share:
                doubtful.append(DataError(f"{name} {task}. Where labels come from elsewhere, say so by label_from"))
            elif not wanted and candidate.share and _may_hold_labels(candidate, channel):
                doubtful.append(refusal)
            lacking = f"names {wanted} (label_column)" if wanted and candidate.files else "is known as that of labels"
            if not candidate.share:
                lacking = "names pictures of the channel"
            rows_of = f"its {candidate.table.rows} rows" if candidate.table.rows > 1 else "its row"
            channel.notes.append(Note(f"{name} is not used ({rows_of}): no column of it {lacking}", columns))
    if doubtful and not usable:
        raise doubtful[0]
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

    def leave(one: Candidate, why: str) -> None:
        channel.notes.append(Note(f"{shown(channel.name(one.table.path))} is not used: {why.format(one.table.rows)}"))

    if len(usable) > 1:
        with_files = [one for one in usable if one.share > 0]
        for one in usable:
            if with_files and one not in with_files:
                leave(one, "none of the files that its {} rows name is in the channel")
        usable = with_files or usable
    kept = [one for one in usable if not _SUBMISSION.search(one.table.path.stem)]
    if kept or not forced:
        for one in usable:
            if one not in kept:
                leave(one, "its {} rows are a sample submission")
        usable = kept
    if len(usable) < 2:
        return usable
    parts = [rows.place_of(channel, one.table.path)[1] for one in usable]
    if not all(parts) or len(set(parts)) < len(parts):
        names = ", ".join(shown(channel.name(one.table.path)) for one in usable)
        raise DataError(
            f"several manifests in {channel.root}: {names}; leave one, or name it by the hyperparameter manifest"
        )
    if channel.known and TRAIN in parts:
        leave(usable.pop(parts.index(TRAIN)), "its {} rows are of the part for training, and this channel isn't")
    return _of_one_kind(channel, usable)


def _of_one_kind(channel: Channel, usable: list[Candidate]) -> list[Candidate]:
    """The tables whose labels are in columns of the same name as those of the table for training."""
    parts = [rows.place_of(channel, one.table.path)[1] for one in usable]
    first = usable[parts.index(TRAIN)] if TRAIN in parts else usable[0]
    wanted = [plain(name) for name in first.labels]
    kept = []
    for one in usable:
        by_plain = {plain(name): name for name in one.table.columns}
        lacking = [name for name in wanted if name not in by_plain]
        if one.table.headless == first.table.headless and not lacking:
            one.labels = [by_plain[name] for name in wanted]
            kept.append(one)
            continue
        column = ", ".join(map(shown, lacking[:4])) or "header"
        text = (
            f"{shown(channel.name(one.table.path))} is not used ({one.table.rows} rows): it lacks the column {column}"
        )
        channel.notes.append(Note(f"{text} of {shown(channel.name(first.table.path))}"))
    return kept


def _rows(channel: Channel, candidate: Candidate, split: str) -> rows.Rows:
    table, asked = candidate.table, channel.asked
    files = [as_text(value) for value in table.columns[candidate.files]]
    labels = read_labels(table, candidate.labels, asked, files)
    result = rows.Rows(table.name, files, labels.values, notes=list(labels.notes), tables=[table.path])
    column = split_column([name for name in table.columns if name not in candidate.labels])
    if split:
        result.splits, column = [split] * len(files), ""
    elif column:
        result.splits, told = read_column(column, table.texts(column), asked.valid_fold, table.name)
        result.notes.append(Note(told))
    folder, part = rows.place_of(channel, table.path)
    result.places = [(folder, of_row) for of_row in result.splits or [part] * len(files)]
    if asked.valid_fold and plain(column) not in FOLD_COLUMNS and not channel.known:
        result.notes.append(Note(f"valid_fold={asked.valid_fold} has no effect: {shown(table.name)} has no folds"))
    if asked.min_label_confidence:
        result.notes.append(Note(f"min_label_confidence has no effect: {shown(table.name)} has no confidence"))
    if asked.group_column and not channel.known:
        result.groups, notes = _groups(table, asked.group_column)
        result.notes += notes
    used = {candidate.files, *candidate.labels, column, asked.group_column}
    if unused := [name for name in table.columns if name not in used]:
        count = f"{len(unused)} column{'s' if len(unused) > 1 else ''}"
        result.notes.append(Note(f"{count} of {shown(table.name)} not used", ", ".join(unused[:8])))
    return result


def _groups(table: Table, column: str) -> tuple[list[str], list[Note]]:
    """Whose each picture is, by a column. Raises DataError where there is no such column."""
    if column not in table.columns:
        raise DataError(
            f"{shown(table.name)} has no column {column!r} (group_column); its columns are "
            f"{', '.join(map(shown, list(table.columns)[:20]))}"
        )
    groups = table.texts(column)
    without = groups.count("")
    note = f"{without} of {table.rows} rows of {shown(table.name)} have no group ({shown(column)})"
    return groups, [Note(note)] if without else []


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
            said = "".join(f"; {note.text}" for note in channel.notes[:3])
            raise DataError(f"no table of the channel names pictures and labels: {names}{said}")
        return None
    channel.notes.extend(Note(f"not used: {error}") for error in broken)
    return _merged(channel, usable)


def _merged(channel: Channel, usable: list[Candidate]) -> Examples:
    """The examples of all tables together, each its own part of the split where there are several."""
    parts = []
    for candidate in usable:
        split = rows.place_of(channel, candidate.table.path)[1] if len(usable) > 1 else ""
        parts.append(_rows(channel, candidate, split))
    labels = usable[0].labels
    column = shown(labels[0]) if len(labels) == 1 else f"{len(labels)} columns"
    whole = rows.joined(channel, parts)
    return rows.build(channel, whole, f"manifest {shown(whole.name)} (column {column})")


def read(channel: Channel) -> Examples:
    """Take pictures and labels from the manifest's rows; a row without a picture or a label is skipped."""
    examples = _read(channel, forced=True)
    assert examples is not None
    return examples


def _detect(channel: Channel) -> Examples | None:
    return _read(channel, forced=False)


USES = frozenset({"label_column", "label_delim", "manifest", "valid_fold", "group_column", "min_label_confidence"})
READER = Reader("manifest", read, _detect, absent="no manifest", lists_files=True, uses=USES)
