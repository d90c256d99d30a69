"""Labels from the output manifest of a SageMaker Ground Truth job: JSON lines with an attribute and its metadata.

The format: https://docs.aws.amazon.com/sagemaker/latest/dg/sms-data-output.html
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from fastai_training.data.labels import DataError, Examples, Note
from fastai_training.data.readers import rows
from fastai_training.data.readers.reader import Channel, Reader
from fastai_training.data.readers.tables import NotATableError, Table, as_text, read_table
from fastai_training.quoting import shown

SOURCE, METADATA = "source-ref", "-metadata"
SINGLE = "groundtruth/image-classification"
SEVERAL = "groundtruth/image-classification-multilabel"
MASKS = "groundtruth/semantic-segmentation"
#: Types of other tasks, and what they are.
_OTHERS = {
    "groundtruth/object-detection": "boxes (object detection), which this project doesn't train",
    "groundtruth/instance-segmentation": "instances (instance segmentation), which this project doesn't train",
    MASKS: "masks (task=segmentation), which this version can't train",
}
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


def _single(value: Any, metadata: dict[str, Any], names: dict[str, str]) -> str:
    """The class's name: ``class-name``, or what other rows call the same index, or the value itself."""
    return as_text(metadata.get("class-name")) or names.get(as_text(value), "") or as_text(value)


def _several(value: Any, metadata: dict[str, Any]) -> list[str]:
    names = metadata.get("class-map")
    names = names if isinstance(names, dict) else {}
    values = value if isinstance(value, list) else [] if value is None else [value]
    return [as_text(names.get(as_text(one), one)) for one in values]


def _confidence(attribute: Attribute, metadata: dict[str, Any]) -> float | None:
    """What the job says of a label's worth (0 to 1); the least where it has one for each class."""
    value = metadata.get("confidence")
    if attribute.type == SEVERAL and isinstance(metadata.get("confidence-map"), dict):
        values = [one for one in metadata["confidence-map"].values() if isinstance(one, int | float)]
        return min(values) if values else None
    return float(value) if isinstance(value, int | float) else None


def _fault(attribute: Attribute, value: Any, metadata: Any, least: float) -> str:
    """Why a row is left out; "" for one that is used."""
    if not isinstance(metadata, dict):
        return f"no {attribute.metadata}" if value is None else ""
    if reason := metadata.get("failure-reason"):
        return f"labelling failed: {as_text(reason)[:100]}"
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


def _rows(channel: Channel, table: Table, attribute: Attribute) -> rows.Rows:
    values, metadata = table.columns[attribute.name], table.columns[attribute.metadata]
    files = [as_text(value) for value in table.columns[SOURCE]]
    least = channel.asked.min_label_confidence
    faults = [_fault(attribute, *pair, least) for pair in zip(values, metadata, strict=True)]
    facts = [one if isinstance(one, dict) else {} for one in metadata]
    if attribute.type == SEVERAL:
        lists = [[] if fault else _several(*pair) for fault, *pair in zip(faults, values, facts, strict=True)]
        rows.refuse_several(f"{shown(table.name)}, attribute {shown(attribute.name)},", lists, files)
        labels = [found[0] if found else "" for found in lists]
    else:
        names = _names_of_indices(values, metadata)
        labels = [_single(value, facts_of, names) for value, facts_of in zip(values, facts, strict=True)]
    result = rows.Rows(table.name, files, labels, faults=faults)
    low = [fault for fault in faults if fault.startswith("confidence")]
    if low:
        result.notes.append(Note(f"{len(low)} labels are left out for their low confidence", low[0]))
    used = {SOURCE, attribute.name, attribute.metadata}
    if others := [name for name in table.columns if name not in used]:
        result.notes.append(Note(f"{len(others)} attributes of {shown(table.name)} not used", ", ".join(others[:8])))
    if channel.asked.group_column:
        if channel.asked.group_column not in table.columns:
            raise DataError(f"{shown(table.name)} has no attribute {channel.asked.group_column!r} (group_column)")
        result.groups = [as_text(value) for value in table.columns[channel.asked.group_column]]
    return result


def _tables(channel: Channel) -> list[tuple[Table, list[Attribute]]]:
    """The channel's tables that are a labelling job's output."""
    found = []
    wanted = channel.asked.manifest
    for path in channel.tables:
        if path.suffix.lower() not in _SUFFIXES or (wanted and wanted not in (channel.name(path), path.name)):
            continue
        try:
            table = read_table(path)
        except (NotATableError, DataError):  # the reader of manifests says what is wrong with it
            continue
        attributes = _attributes(table)
        if attributes and SOURCE in table.columns:
            found.append((table, attributes))
    return found


def _read(channel: Channel, found: list[tuple[Table, list[Attribute]]]) -> Examples:
    if len(found) > 1:
        names = ", ".join(shown(channel.name(table.path)) for table, _ in found)
        raise DataError(
            f"several manifests of Ground Truth in {channel.root}: {names}; leave one, or name it by the "
            "hyperparameter manifest"
        )
    table, attributes = found[0]
    attribute = _choose(table, attributes, channel.asked.label_column)
    read = _rows(channel, table, attribute)
    return rows.build(channel, read, f"ground_truth {shown(table.name)} (attribute {shown(attribute.name)})")


def read(channel: Channel) -> Examples:
    """Take pictures and labels from a labelling job's output; rows that failed or are unsure are skipped."""
    found = _tables(channel)
    if not found:
        raise DataError(
            f"no output manifest of Ground Truth in {channel.root}: JSON lines with {SOURCE}, an attribute and its "
            f"{METADATA} of a type such as {SINGLE}"
        )
    return _read(channel, found)


def _detect(channel: Channel) -> Examples | None:
    found = _tables(channel)
    return _read(channel, found) if found else None


READER = Reader("ground_truth", read, _detect, absent="no Ground Truth manifest", lists_files=True)
