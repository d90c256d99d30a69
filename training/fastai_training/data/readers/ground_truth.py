"""Labels from the output manifest of a SageMaker Ground Truth job: JSON lines with an attribute and its metadata.

The format: https://docs.aws.amazon.com/sagemaker/latest/dg/sms-data-output.html
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from fastai_training.data.labels import TRAIN, DataError, Examples, Note
from fastai_training.data.readers import rows
from fastai_training.data.readers.reader import Channel, Reader
from fastai_training.data.readers.tables import NotATableError, Table, as_text, read_table
from fastai_training.quoting import shown

SOURCE, METADATA = "source-ref", "-metadata"
SINGLE = "groundtruth/image-classification"
SEVERAL = "groundtruth/image-classification-multilabel"
VERIFICATION = "groundtruth/label-verification"
MASKS = "groundtruth/semantic-segmentation"
#: Types of other tasks, and what they are.
_OTHERS = {
    "groundtruth/object-detection": "boxes (object detection), which this project doesn't train",
    "groundtruth/instance-segmentation": "instances (instance segmentation), which this project doesn't train",
    MASKS: "masks (task=segmentation), which this version can't train",
    VERIFICATION: "what workers thought of another job's labels, which are none themselves",
}
_FAILED = "labelling failed"
_SUFFIXES = frozenset({".manifest", ".jsonl", ".ndjson", ".json"})


@dataclass(frozen=True)
class Attribute:
    """A labelling job's result: the column of its labels, that of its metadata, and its type."""

    name: str
    metadata: str
    type: str


def _attributes(table: Table) -> list[Attribute]:
    """The labelling jobs whose results a table has, found by the type in their metadata."""
    found = []
    for column, values in table.columns.items():
        if not column.endswith(METADATA):
            continue
        name = column[: -len(METADATA)]
        types = Counter(
            str(value["type"]) for value in values if isinstance(value, dict) and isinstance(value.get("type"), str)
        )
        if types and name in table.columns:
            found.append(Attribute(name, column, types.most_common(1)[0][0]))
    return found


def _choose(table: Table, found: list[Attribute], wanted: str) -> Attribute:
    """The attribute to train on. Raises DataError where it isn't there, is of another task, or several could be it."""
    if wanted:
        named = [one for one in found if wanted in (one.name, one.name.removesuffix("-ref"))]
        if not named:
            held = ", ".join(f"{shown(one.name)} ({shown(one.type)})" for one in found)
            raise DataError(f"{shown(table.name)} has no label attribute {wanted!r} (label_column); it has {held}")
        found = named
    trained = [one for one in found if one.type in (SINGLE, SEVERAL)]
    if len(trained) > 1:
        raise DataError(
            f"{shown(table.name)} has several label attributes: {', '.join(shown(one.name) for one in trained)}; set "
            "label_column to the one that is to be learned"
        )
    if not trained:
        one = found[0]
        what = _OTHERS.get(one.type, f"of the type {shown(one.type)}, which is not trained here")
        raise DataError(
            f"{shown(table.name)}: the attribute {shown(one.name)} is {what}; give the manifest of an image "
            "classification job, or name another attribute by label_column"
        )
    return trained[0]


def _single(value: Any, metadata: dict[str, Any], names: dict[str, str], where: str) -> str:
    """The class's name: ``class-name``, or what other rows call the same index, or the value itself."""
    name = metadata.get("class-name")
    for one in (name, value):
        if isinstance(one, list | dict):
            kind = "a list" if isinstance(one, list) else "an object"
            raise DataError(f"{where} has {kind} as the class of a picture; give each one text or number there")
    return as_text(name) or names.get(as_text(value), "") or as_text(value)


def _several(value: Any, metadata: dict[str, Any]) -> list[str]:
    names = metadata.get("class-map")
    names = names if isinstance(names, dict) else {}
    values = value if isinstance(value, list) else [] if value is None else [value]
    return [as_text(names.get(as_text(one), one)) for one in values]


def _confidence(attribute: Attribute, metadata: dict[str, Any]) -> float | None:
    """What the job says of a label's worth (0 to 1); the least where it has one for each class."""
    value, of_classes = metadata.get("confidence"), metadata.get("confidence-map")
    values = list(of_classes.values()) if attribute.type == SEVERAL and isinstance(of_classes, dict) else [value]
    shares = [float(one) for one in values if isinstance(one, int | float) and 0 <= one <= 1]
    return min(shares) if shares else None


def _fault(attribute: Attribute, value: Any, metadata: Any, least: float) -> str:
    """Why a row is left out; "" for one that is used."""
    if not isinstance(metadata, dict):
        return f"no {attribute.metadata}" if value is None else ""
    if reason := metadata.get("failure-reason"):
        return f"{_FAILED}: {as_text(reason)[:100]}"
    confidence = _confidence(attribute, metadata)
    if least > 0 and confidence is not None and confidence < least:
        return f"confidence {confidence:g} is below min_label_confidence={least:g}"
    return ""


def _names_of_indices(values: list[Any], metadata: list[Any]) -> dict[str, str]:
    names: dict[str, str] = {}
    for value, facts in zip(values, metadata, strict=True):
        if isinstance(facts, dict) and facts.get("class-name"):
            names.setdefault(as_text(value), as_text(facts["class-name"]))
    return names


def _labels(table: Table, attribute: Attribute, faults: list[str], files: list[str]) -> list[str]:
    """The label of each row, "" for none. Raises DataError for several."""
    values, metadata = table.columns[attribute.name], table.columns[attribute.metadata]
    facts = [one if isinstance(one, dict) else {} for one in metadata]
    where = f"{shown(table.name)}, attribute {shown(attribute.name)},"
    if attribute.type == SEVERAL:
        lists = [[] if fault else _several(*pair) for fault, *pair in zip(faults, values, facts, strict=True)]
        rows.refuse_several(where, lists, files)
        return [found[0] if found else "" for found in lists]
    names = _names_of_indices(values, metadata)
    triples = zip(faults, values, facts, strict=True)
    return ["" if fault else _single(value, facts_of, names, where) for fault, value, facts_of in triples]


def _notes(
    channel: Channel, table: Table, found: list[Attribute], attribute: Attribute, faults: list[str]
) -> list[Note]:
    """What isn't used: rows that failed or are unsure, other attributes, verdicts on the labels."""
    notes, name, asked = [], shown(table.name), channel.asked
    failed = [fault for fault in faults if fault.startswith(_FAILED)]
    if failed:
        notes.append(Note(f"{len(failed)} rows of {name} are left out since their labelling failed", failed[0]))
    low = [fault for fault in faults if fault.startswith("confidence")]
    if low:
        notes.append(Note(f"{len(low)} labels are left out for their low confidence", low[0]))
    if asked.min_label_confidence > 0:
        facts = [one for one in table.columns[attribute.metadata] if isinstance(one, dict)]
        without = table.rows - sum(1 for one in facts if _confidence(attribute, one) is not None) - len(failed)
        if without > 0:
            notes.append(Note(f"{without} labels of {name} have no confidence, so min_label_confidence leaves them in"))
    for one in found:
        if one.type == VERIFICATION:
            facts = [value for value in table.columns[one.metadata] if isinstance(value, dict)]
            verdicts = Counter(as_text(value.get("class-name")) or "no verdict" for value in facts)
            told = ", ".join(f"{count} {shown(verdict)}" for verdict, count in verdicts.most_common(5))
            notes.append(Note(f"what workers thought of the labels ({shown(one.name)}: {told}) is not used"))
    used = {SOURCE, attribute.name, attribute.metadata, asked.group_column}
    if others := [column for column in table.columns if column not in used]:
        notes.append(Note(f"{len(others)} attributes of {name} not used", ", ".join(others[:8])))
    for setting in ("label_delim", "valid_fold"):
        if getattr(asked, setting) and not channel.known:
            notes.append(Note(f"{setting}={getattr(asked, setting)!r} has no effect on a manifest of Ground Truth"))
    return notes


def _rows(channel: Channel, table: Table, found: list[Attribute], split: str) -> tuple[rows.Rows, Attribute]:
    attribute = _choose(table, found, channel.asked.label_column)
    files = [as_text(value) for value in table.columns[SOURCE]]
    pairs = zip(table.columns[attribute.name], table.columns[attribute.metadata], strict=True)
    faults = [_fault(attribute, *pair, channel.asked.min_label_confidence) for pair in pairs]
    result = rows.Rows(table.name, files, _labels(table, attribute, faults, files), faults=faults, tables=[table.path])
    result.notes = _notes(channel, table, found, attribute, faults)
    result.places = [rows.place_of(channel, table.path)] * len(files)
    result.splits = [split] * len(files) if split else []
    group = channel.asked.group_column
    if group and not channel.known:
        if group not in table.columns:
            raise DataError(f"{shown(table.name)} has no attribute {group!r} (group_column)")
        result.groups = table.texts(group)
    return result, attribute


def _tables(channel: Channel) -> tuple[list[tuple[Table, list[Attribute]]], list[DataError]]:
    """The channel's tables that are a labelling job's output, and what is wrong with files that could be."""
    found, broken = [], []
    wanted = channel.asked.manifest
    for path in channel.tables:
        if path.suffix.lower() not in _SUFFIXES or (wanted and wanted not in (channel.name(path), path.name)):
            continue
        try:
            table = read_table(path)
        except NotATableError:  # the reader of manifests says what it is
            continue
        except DataError as error:
            broken.append(error)
            continue
        attributes = _attributes(table)
        if attributes and SOURCE in table.columns:
            found.append((table, attributes))
    return found, broken


def _read(channel: Channel, found: list[tuple[Table, list[Attribute]]]) -> Examples:
    splits = [rows.place_of(channel, table.path)[1] for table, _ in found]
    if len(found) > 1 and (not all(splits) or len(set(splits)) < len(splits)):
        names = ", ".join(shown(channel.name(table.path)) for table, _ in found)
        raise DataError(
            f"several manifests of Ground Truth in {channel.root}: {names}; leave one, name it by the hyperparameter "
            "manifest, or call them train.manifest and validation.manifest"
        )
    if channel.known and len(found) > 1 and TRAIN in splits:
        table, _ = found.pop(splits.index(TRAIN))
        splits.remove(TRAIN)
        text = f"{shown(channel.name(table.path))} is not used: its {table.rows} rows are for training"
        channel.notes.append(Note(text))
    parts = [
        _rows(channel, table, attributes, split if len(found) > 1 else "")
        for (table, attributes), split in zip(found, splits, strict=True)
    ]
    learned = list(dict.fromkeys(shown(attribute.name) for _, attribute in parts))
    whole = rows.joined(channel, [part for part, _ in parts])
    return rows.build(channel, whole, f"ground_truth {shown(whole.name)} (attribute {', '.join(learned)})")


def read(channel: Channel) -> Examples:
    """Take pictures and labels from a labelling job's output; rows that failed or are unsure are skipped."""
    found, broken = _tables(channel)
    if found:
        channel.notes.extend(Note(f"not used: {error}") for error in broken)
        return _read(channel, found)
    if broken:
        raise broken[0]
    raise DataError(
        f"no output manifest of Ground Truth in {channel.root}: JSON lines with {SOURCE}, an attribute and its "
        f"{METADATA} of a type such as {SINGLE}"
    )


def _detect(channel: Channel) -> Examples | None:
    found, broken = _tables(channel)
    if not found:
        return None
    channel.notes.extend(Note(f"not used: {error}") for error in broken)
    return _read(channel, found)


USES = frozenset({"label_column", "label_delim", "manifest", "valid_fold", "group_column", "min_label_confidence"})
READER = Reader("ground_truth", read, _detect, absent="no Ground Truth manifest", lists_files=True, uses=USES)
