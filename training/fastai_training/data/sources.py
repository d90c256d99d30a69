"""Find the pictures of a channel and their labels, by the reader that its files or the user ask for."""

from __future__ import annotations

import contextlib
import gc
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from fastai_container.model_folder import vocabulary_fault
from fastai_container.pictures import SUFFIXES
from fastai_training.data.labels import DataError, Example, Examples, Note
from fastai_training.data.picture_files import Tree, read_tree
from fastai_training.data.readers import READERS, names
from fastai_training.data.readers.reader import AUTO, Asked, Channel, Reader
from fastai_training.quoting import shown, utf8

#: A longer label is no class's name, but a column of something else.
LONGEST_LABEL = 200


def _read_files(root: Path) -> Tree:
    """The files below ``root``. Raises DataError when there are none that pictures could be in."""
    if not root.is_dir():
        raise DataError(f"there is no folder {root}")
    tree = read_tree(root)
    if not tree.pictures and not tree.records and not (tree.unnamed and tree.tables):
        found = sorted(path.name for path in root.iterdir())
        held = f"it holds {', '.join(map(shown, found[:5]))}" if found else "it is empty"
        held += "".join(f"; {shown(name)}: {why}" for name, why in tree.skipped[:3])
        held += "".join(f"; {note.text}" for note in tree.unread()[:3])
        raise DataError(f"no pictures in {root} ({held}); picture files end in {', '.join(sorted(SUFFIXES))}")
    return tree


def _detect(channel: Channel) -> tuple[Reader, Examples]:
    """The first reader whose files are there, and what it reads. Raises DataError when there is none."""
    # A column or a file of labels that was named is to be used: then a reader that knows neither is not asked.
    named = (
        {name for name in ("label_column", "manifest") if getattr(channel.asked, name)} if not channel.known else set()
    )
    for reader in READERS.values():
        if (channel.labels and not reader.lists_files) or not named <= reader.uses:
            continue
        if (examples := reader.detect(channel)) is not None:
            return reader, examples
    if channel.labels:
        held = ", ".join(shown(path.name) for path in channel.labels[:5])
        raise DataError(f"no file of the channel with the labels is a list or table of pictures with labels: {held}")
    absent = " and ".join(reader.absent for reader in reversed(READERS.values()) if reader.absent)
    raise DataError(
        f"can't tell the labels: {names.why_not(channel)}; there are {absent}. Arrange the "
        "pictures in a folder for each class, or add a manifest (.csv with file and label)" + _said(channel.notes)
    )


def _said(notes: list[Note]) -> str:
    return "".join(f"; {note.text}" for note in _once(notes)[:3])


def _check(examples: Examples, channel: Channel) -> None:
    """Raises DataError for labels that can't be the classes of a model, before anything is trained."""
    long = next((item for item in examples.items if len(item.label) > LONGEST_LABEL), None)
    if long is not None:
        raise DataError(
            f"{shown(long.path.name)} has a label of {len(long.label):,} characters (by {examples.source}); a class's "
            f"name has at most {LONGEST_LABEL}: is this the column of the labels?"
        )
    if not examples.items or (len(examples.vocab) < 2 and not channel.known):
        held = f"only the class {examples.vocab[0]!r}" if examples.items else "no labelled picture"
        *others, last = reversed(READERS)
        raise DataError(
            f"labels from {examples.source} give {held} ({len(examples.skipped)} pictures have "
            "none); at least two classes are needed: check the folder, or set label_from to "
            f"{', '.join(others)} or {last}" + _said(channel.notes)
        )
    if len(examples.vocab) > 1 and (fault := vocabulary_fault(examples.vocab)):  # what serving would refuse
        raise DataError(f"labels from {examples.source} can't be classes: the vocabulary {fault}")


def _one_form(items: list[Example], notes: list[Note]) -> list[Example]:
    """Labels as UTF-8 in composed letters: a folder's name need not be either, and one class may come in two forms."""
    forms: dict[str, set[str]] = defaultdict(set)
    known: dict[str, str] = {}
    for item in items:
        if item.label not in known:
            known[item.label] = unicodedata.normalize("NFC", utf8(item.label))
            forms[known[item.label]].add(item.label)
    several = sorted(label for label, found in forms.items() if len(found) > 1)
    if several:
        notes.append(Note(f"{len(several)} classes are written in several Unicode forms and taken as one", several[0]))
    alike: dict[str, list[str]] = defaultdict(list)
    for label in forms:
        alike[label.casefold()].append(label)
    for found in alike.values():
        if len(found) > 1:
            notes.append(Note(f"classes that differ by case only are taken as {len(found)}", ", ".join(sorted(found))))
    if all(label == form for label, form in known.items()):
        return items
    return [replace(item, label=known[item.label]) for item in items]


def _with_groups(channel: Channel, items: list[Example]) -> list[Example]:
    """Groups by ``group_from``, a regular expression on the path. Raises DataError."""
    pattern = channel.asked.group_from
    if not pattern:
        return items
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise DataError(f"group_from={pattern!r} is no regular expression: {error}") from None
    result, without = [], []
    for item in items:
        match = expression.search(channel.name(item.path))
        if match is None:
            without.append(channel.name(item.path))
            continue
        group = next((part for part in match.groups() if part is not None), match[0])
        result.append(replace(item, group=group))
    if without:
        raise DataError(
            f"group_from={pattern!r} matches nothing in the paths of {len(without)} of {len(items)} pictures (the "
            f"first is {shown(without[0])}); mend the expression, so that each has a group"
        )
    return result


@contextlib.contextmanager
def _without_collections() -> Iterator[None]:
    """Pause the garbage collector: it would look through ever more objects, none of which is garbage.

    Of 200,000 pictures that is 40 % of the time.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@_without_collections()
def find_examples(
    root: Path,
    asked: Asked = Asked(),  # noqa: B008 - frozen
    *,
    labels: Iterable[Path] = (),
    known: Iterable[str] = (),
    class_names: Mapping[str, str] | None = None,
) -> Examples:
    """Find the labelled pictures of a channel's folder.

    ``asked.label_from``: a name of ``READERS``, or auto for the first of them whose files are there. ``labels``:
    tables and lists that came in a channel of their own; then the labels are theirs. ``known``: the classes of the
    training channel, where another is read; ``class_names``: what it calls the class indices, if it has any. Raises
    DataError when there are no pictures, no labels, or only one class.
    """
    channel = Channel(root, _read_files(root), asked, tuple(labels), frozenset(known), class_names or {})
    if asked.label_from == AUTO:
        reader, examples = _detect(channel)
    else:
        reader = READERS[asked.label_from]
        examples = reader.read(channel)
    if not reader.lists_files:
        examples.skipped += channel.tree.skipped
        channel.notes.extend(_unused_tables(channel, examples))
    elif links := [name for name, why in channel.tree.skipped if "leads nowhere" in why]:
        channel.notes.append(Note(f"{len(links)} links lead nowhere", links[0]))
    if channel.tree.records and reader.name != "recordio":
        text = f"{len(channel.tree.records)} RecordIO files are not used, since labels come from {examples.source}"
        channel.notes.append(Note(text, channel.name(channel.tree.records[0])))
    channel.notes.extend(_unused_settings(channel.asked, reader, examples.source))
    examples.notes = _unread(channel, reader, examples) + _once(channel.notes) + examples.notes
    examples.items = _with_groups(channel, _one_form(examples.items, examples.notes))
    _check(examples, channel)
    return examples


def _unused_settings(asked: Asked, reader: Reader, source: str) -> list[Note]:
    """What the user set that the labels' source knows nothing of."""
    plain = Asked(label_from=asked.label_from, group_from=asked.group_from)
    given = {name: value for name, value in vars(asked).items() if value != getattr(plain, name)}
    return [
        Note(f"{name}={value} has no effect: labels come from {source}")
        for name, value in given.items()
        if name not in reader.uses
    ]


def _once(notes: list[Note]) -> list[Note]:
    return list(dict.fromkeys(notes))


def _unused_tables(channel: Channel, examples: Examples) -> list[Note]:
    """Tables that lie there though labels come from elsewhere, and of which nothing was said yet."""
    told = " ".join(note.text for note in (*channel.notes, *examples.notes))
    silent = [name for path in channel.tables if shown(name := channel.name(path)) not in told]
    if not silent:
        return []
    return [Note(f"{len(silent)} tables are not used, since labels come from {examples.source}", ", ".join(silent[:5]))]


def _unread(channel: Channel, reader: Reader, examples: Examples) -> list[Note]:
    notes = channel.tree.unread()
    if reader.lists_files and channel.tree.unnamed:
        used = {item.path for item in examples.items}
        rest = [path for path in channel.tree.unnamed if path not in used]
        notes = [note for note in notes if "without a suffix" not in note.text]
        if rest:
            notes.append(Note(f"{len(rest)} files without a suffix are not used", channel.name(rest[0])))
    return notes
