"""From the channels to what is trained, validated and tested on: labels, readable pictures, the split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from fastai_training.console import Log
from fastai_training.data import quality
from fastai_training.data.channels import TEST, TRAINING, VALIDATION, Channels
from fastai_training.data.labels import TEST as FOR_TEST
from fastai_training.data.labels import TRAIN as FOR_TRAINING
from fastai_training.data.labels import VALID as FOR_VALIDATION
from fastai_training.data.labels import DataError, Example, Examples, Note, relative_name, vocabulary
from fastai_training.data.late_check import LateCheck, is_wanted, sampled
from fastai_training.data.readers.reader import Asked
from fastai_training.data.sources import find_examples
from fastai_training.data.split import split_notes, stratified_split
from fastai_training.data.verification import leave_out_unreadable
from fastai_training.hyperparameters import HyperParameters
from fastai_training.quoting import shown

#: Classes of which an example is said.
_SHOWN_CLASSES = 3


@dataclass(frozen=True)
class Data:
    """What is trained and validated on. ``skipped``: channel, file and reason of what was left out.

    ``test``: what is scored once, at the end; empty where the user gave none. ``notes``: channel (or "" for the whole)
    and what the user should know of it. ``late``: of ``train``, where its pictures are checked while training.
    """

    train: list[Example]
    valid: list[Example]
    vocab: list[str]
    skipped: list[tuple[str, str, str]]
    source: str
    test: list[Example] = field(default_factory=list)
    notes: list[tuple[str, Note]] = field(default_factory=list)
    late: LateCheck | None = None


def asked_of(parameters: HyperParameters) -> Asked:
    """Return what the hyperparameters say of labels."""
    return Asked(**{name: getattr(parameters, name) for name in Asked.__dataclass_fields__})


def describe(found: Examples) -> str:
    """Say in one line how a channel was understood: its reader, pictures and classes, and a few examples."""
    first: dict[str, Example] = {}
    for item in found.items:
        first.setdefault(item.label, item)
    some = list(first.values())[:_SHOWN_CLASSES]
    examples = ", ".join(f"{shown(relative_name(item.path, found.root))} is {shown(item.label)}" for item in some)
    return f"{len(found.items)} pictures of {len(found.vocab)} classes, labels from {found.source}: {examples}"


def _say_note(say: Log, where: str, note: Note) -> None:
    example = f" (for example {shown(note.example)})" if note.example else ""
    say(f"{where}: {note.text}{example}")


def _say_left_out(say: Log, channel: str, skipped: Sequence[tuple[str, str]], when: str = "") -> None:
    if skipped:
        named = "; ".join(f"{shown(name)}: {shown(why)}" for name, why in skipped[:5])
        more = " ..." if len(skipped) > 5 else ""
        say(f"channel {channel}: {len(skipped)} pictures left out{when} ({named}{more})")


class _Reader:
    """Reads one channel after the other, and gathers what is said of them."""

    def __init__(self, channels: Channels, parameters: HyperParameters, say: Log, cores: int) -> None:
        self.channels, self.parameters, self.say, self.cores = channels, parameters, say, cores
        self.skipped: list[tuple[str, str, str]] = []
        self.notes: list[tuple[str, Note]] = []
        self.digests: dict[Path, bytes] = {}

    def read(
        self, root: Path, channel: str, known: Sequence[str] = (), class_names: Mapping[str, str] | None = None
    ) -> Examples:
        """The readable pictures of a channel. ``known`` and ``class_names``: those of training. Raises DataError."""
        return self.check(self.find(root, channel, known, class_names), channel)

    def find(
        self, root: Path, channel: str, known: Sequence[str] = (), class_names: Mapping[str, str] | None = None
    ) -> Examples:
        """The pictures of a channel, readable or not. Raises DataError."""
        try:
            labels = self.channels.labels_of(channel)
            asked = asked_of(self.parameters)
            found = find_examples(root, asked, labels=labels, known=known, class_names=class_names)
        except DataError as error:
            if channel == TRAINING:
                raise
            hint = "; leave the channel out if its pictures have no labels" if channel == TEST else ""
            raise DataError(f"the channel {channel}: {error}{hint}") from None
        self.say(f"channel {channel}: {describe(found)}")
        for note in found.notes:
            self.note(channel, note)
        return found

    def check(self, found: Examples, channel: str, *, part: bool = False) -> Examples:
        """Those of ``found`` that are readable; ``part``: they are not all of the channel. Raises DataError."""
        usable = self._usable(found, part=part)
        self.leave_out(channel, usable.skipped)
        if not part and (lost := sorted(set(found.vocab) - set(usable.vocab))):
            text = f"{len(lost)} of {len(found.vocab)} classes have no picture that can be read"
            self.note(channel, Note(text, ", ".join(lost[:_SHOWN_CLASSES])))
        self.digests |= usable.digests
        return usable

    def _usable(self, found: Examples, *, part: bool) -> Examples:
        return leave_out_unreadable(
            found, strict=self.parameters.strict, processes=self.cores, side=self.parameters.image_size, part=part
        )

    def check_late(self, found: Examples, train: list[Example]) -> LateCheck:
        """Have the pictures of ``train``, which are some of ``found``, checked while training; look at a few of them.

        Raises DataError when most of the few can't be read.
        """
        few = replace(found, items=sampled(train), skipped=[])
        bad = self._usable(few, part=True).skipped
        named = "".join(f"; {shown(name)}: {shown(why)}" for name, why in bad[:3])
        self.say(
            f"{len(train)} training pictures are checked while they are first decoded (check_pictures=while_training); "
            f"copies among them are not looked for; of {len(few.items)} looked at before, {len(bad)} can't be read"
            + named
        )
        return LateCheck(train, self.parameters.image_size, strict=self.parameters.strict)

    def leave_out(self, channel: str, skipped: Sequence[tuple[str, str]]) -> None:
        _say_left_out(self.say, channel, skipped)
        self.skipped += [(channel, name, why) for name, why in skipped]

    def read_for(self, root: Path, channel: str, split: str, training: Examples, known: Sequence[str]) -> list[Example]:
        """The pictures of a channel that is for one part of the split: that part, where the channel has one itself."""
        items = self.read(root, channel, known, training.class_names).items
        used = _parts(items, split) or [item for item in items if item.split != FOR_TRAINING]
        if used and len(used) < len(items):
            text = f"{len(items) - len(used)} of its pictures are in other parts of a split and not used"
            self.note(channel, Note(text))
            return used
        return items

    def note(self, channel: str, note: Note) -> None:
        self.notes.append((channel, note))
        _say_note(self.say, f"channel {channel}" if channel else "data", note)


def _refuse_unknown(where: str, items: Sequence[Example], vocab: Sequence[str]) -> None:
    """Raises DataError for pictures of classes that training doesn't have."""
    unknown = sorted({item.label for item in items} - set(vocab))
    if unknown:
        raise DataError(
            f"the {where} has classes that training does not: {', '.join(map(shown, unknown[:5]))}; "
            "label both the same way, or take these pictures out"
        )


def _parts(items: Sequence[Example], split: str) -> list[Example]:
    return [item for item in items if item.split == split]


def read_data(channels: Channels, parameters: HyperParameters, say: Log, cores: int) -> Data:
    """Read the training, validation and test examples. Raises DataError."""
    reader = _Reader(channels, parameters, say, cores)
    for text in channels.unread:
        reader.notes.append(("", Note(text)))
        say(text)
    training = reader.find(channels.training, TRAINING)
    count = sum(item.split not in (FOR_VALIDATION, FOR_TEST) for item in training.items)
    is_late = is_wanted(parameters, fast_file=channels.fast_file, pictures=count)
    if is_late:
        reader.leave_out(TRAINING, training.skipped)
    else:
        training = reader.check(training, TRAINING)
    valid, test = _parts(training.items, FOR_VALIDATION), _parts(training.items, FOR_TEST)
    train = [item for item in training.items if item.split not in (FOR_VALIDATION, FOR_TEST)]
    vocab = vocabulary(item.label for item in train)
    if len(vocab) < 2:
        raise DataError(
            f"the pictures to train on are of {len(vocab)} classes ({', '.join(map(shown, vocab)) or 'none'}); at "
            "least two are needed: look at the split"
        )
    if channels.validation is not None:
        if valid:
            reader.note(TRAINING, Note(f"its {len(valid)} pictures for validation are not used: there is a channel"))
        valid = reader.read_for(channels.validation, VALIDATION, FOR_VALIDATION, training, vocab)
    if channels.test is not None:
        if test:
            reader.note(TRAINING, Note(f"its {len(test)} pictures for testing are not used: there is a channel test"))
        test = reader.read_for(channels.test, TEST, FOR_TEST, training, vocab)
    _refuse_unknown("validation channel" if channels.validation else "part for validation", valid, vocab)
    _refuse_unknown("test channel" if channels.test else "part for testing", test, vocab)
    is_drawn = not valid
    if is_drawn:
        train, valid = stratified_split(train, parameters.valid_pct, parameters.seed)
    late = None
    if is_late:
        if channels.validation is None:
            valid = reader.check(replace(training, items=valid, skipped=[]), TRAINING, part=True).items
        if channels.test is None:
            test = reader.check(replace(training, items=test, skipped=[]), TRAINING, part=True).items
        late = reader.check_late(training, train)
    for text in split_notes(train, valid, parameters.valid_pct) if is_drawn else ():
        reader.note("", Note(text))
    if len(train) < 2:
        raise DataError(f"need at least 2 training pictures, found {len(train)}; add pictures")
    for note in quality.examine(train, valid, test, reader.digests):
        reader.note("", note)
    say(
        f"training on {len(train)} pictures, validating on {len(valid)}, {len(vocab)} classes"
        + (f", testing on {len(test)}" if test else "")
    )
    return Data(train, valid, vocab, reader.skipped, training.source, test, reader.notes, late)


def settle_late(data: Data, root: Path, say: Log) -> Data:
    """After training: ``data`` without the training pictures that turned out to be unreadable.

    ``root``: the folder of the training channel. Returns ``data`` itself where there are none.
    """
    bad = data.late.left_out(root) if data.late else []
    if data.late is None or not bad:
        return data
    _say_left_out(say, TRAINING, bad, " while training")
    train, notes = data.late.readable(), list(data.notes)
    gone = sorted({item.label for item in data.train} - {item.label for item in train})
    if gone:
        note = Note(f"no training picture of {', '.join(map(shown, gone[:5]))} can be read: it was not learnt")
        _say_note(say, "data", note)
        notes.append(("", note))
    skipped = [*data.skipped, *((TRAINING, name, why) for name, why in bad)]
    return replace(data, train=train, skipped=skipped, notes=notes)
