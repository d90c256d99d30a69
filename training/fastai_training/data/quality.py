"""What in the data makes a model worse than it seems: copies, copies across the split, rare classes."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from fastai_training.data.labels import Example, Note
from fastai_training.quoting import shown

#: The rarest class has less than this share of the pictures of the commonest: worth a word.
RARE = 0.1


def _some(labels: Sequence[str]) -> str:
    return ", ".join(map(shown, labels[:5])) + (" …" if len(labels) > 5 else "")


def _rare(train: Sequence[Example]) -> list[Note]:
    counts = Counter(item.label for item in train)
    notes = []
    single = sorted(label for label, count in counts.items() if count == 1)
    if single:
        notes.append(Note(f"{len(single)} classes have one picture to train on", _some(single)))
    (common, most), (rarest, least) = counts.most_common()[0], counts.most_common()[-1]
    if least < RARE * most:
        text = (
            f"classes are uneven: {shown(rarest)} has {least} pictures, {shown(common)} {most}; sampling=balanced "
            "(or class_weights) gives rare classes more weight"
        )
        notes.append(Note(text))
    return notes


def _unvalidated(train: Sequence[Example], valid: Sequence[Example]) -> list[Note]:
    classes = {item.label for item in train}
    without = sorted(classes - {item.label for item in valid})
    if not without:
        return []
    text = f"{len(without)} of {len(classes)} classes have no picture to validate on: the error says nothing of them"
    return [Note(text, _some(without))]


def _copies(parts: Mapping[str, Sequence[Example]], digests: Mapping[Path, bytes]) -> list[Note]:
    by_digest: dict[bytes, list[tuple[str, Example]]] = defaultdict(list)
    for part, items in parts.items():
        for item in items:
            if item.path in digests:
                by_digest[digests[item.path]].append((part, item))
    several = [found for found in by_digest.values() if len(found) > 1]
    notes = []
    labels = [found for found in several if len({item.label for _, item in found}) > 1]
    if labels:
        one_each = {item.label: item for _, item in reversed(labels[0])}
        names = ", ".join(f"{shown(item.path.name)} ({shown(label)})" for label, item in sorted(one_each.items())[:4])
        notes.append(Note(f"{len(labels)} pictures are there under different labels, byte for byte the same", names))
    for one, other in (("train", "valid"), ("train", "test"), ("valid", "test")):
        across = [found for found in several if {one, other} <= {part for part, _ in found}]
        if across:
            of_part = dict(reversed(across[0]))
            names = ", ".join(f"{shown(of_part[part].path.name)} ({part})" for part in (one, other))
            text = (
                f"{len(across)} pictures are on both sides of the split ({one} and {other}), byte for byte the same; "
                "the error that is measured is too low"
            )
            notes.append(Note(text, names))
    inside = sum(len(found) - 1 for found in several)
    if inside and not notes:
        names = ", ".join(shown(item.path.name) for _, item in several[0][:4])
        notes.append(Note(f"{inside} pictures are copies of others, byte for byte", names))
    return notes


def _groups(train: Sequence[Example], valid: Sequence[Example], test: Sequence[Example]) -> list[Note]:
    """What a split that the user gave does to the groups, which have no say in it."""
    held_out = {item.group for item in (*valid, *test) if item.group}
    both = sorted({item.group for item in train if item.group} & held_out)
    if not both:
        return []
    text = f"{len(both)} groups are on both sides of the split, which was given; the error that is measured is too low"
    return [Note(text, both[0])]


def examine(
    train: Sequence[Example], valid: Sequence[Example], test: Sequence[Example], digests: Mapping[Path, bytes]
) -> list[Note]:
    """Return what the user should know. ``digests``: hashes of the files' bytes."""
    parts = {"train": train, "valid": valid, "test": test}
    return _rare(train) + _unvalidated(train, valid) + _groups(train, valid, test) + _copies(parts, digests)
