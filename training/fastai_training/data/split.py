"""Keep part of each class for validation, whole groups where pictures belong to one."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterable

from fastai_training.data.labels import DataError, Example
from fastai_training.quoting import shown

#: Groups that are moved after all were looked at once: most of them are where they should be by then.
MOST_IMPROVEMENTS = 25
#: Classes that a sentence of the log names.
MOST_NAMED = 5


def stratified_split(items: list[Example], valid_pct: float, seed: int) -> tuple[list[Example], list[Example]]:
    """Training and validation examples, each class split by ``valid_pct`` (0 to 1), the same for the same ``seed``.

    A class of two or more pictures has at least one on each side; a class of one stays in training. Where examples have
    groups, a group is on one side (one without is a group of its own): shares are then as near ``valid_pct`` as the
    groups allow, every class is in training, and in validation wherever two groups have it. ``split_notes`` tells what
    they didn't allow. Raises DataError when that leaves nothing to validate on.
    """
    if any(item.group for item in items):
        return _grouped_split(items, valid_pct, seed)
    by_class: dict[str, list[Example]] = defaultdict(list)
    for item in sorted(items, key=lambda item: (item.label, str(item.path))):
        by_class[item.label].append(item)
    train: list[Example] = []
    valid: list[Example] = []
    for label, members in sorted(by_class.items()):
        # A generator for each class: adding a class does not move another's pictures.
        random.Random(f"{seed}:{label}").shuffle(members)  # noqa: S311 - a split is no secret
        kept = min(max(1, round(len(members) * valid_pct)), len(members) - 1)
        valid += members[:kept]
        train += members[kept:]
    if not valid:
        raise DataError(
            "every class has one picture only, none is left for validation; add pictures or a validation channel"
        )
    return train, valid


def groups_of(items: Iterable[Example]) -> dict[str, list[Example]]:
    """The examples by group; one without is a group of its own."""
    groups: dict[str, list[Example]] = defaultdict(list)
    for item in items:
        # No group of the user's begins so: a name has no null character.
        groups[item.group or f"\0{item.path}"].append(item)
    return groups


class _Shares:
    """How far validation is from the share that it shall have, class by class and in all, as groups come and go."""

    def __init__(self, groups: dict[str, list[Example]], valid_pct: float) -> None:
        self.counts = {name: Counter(item.label for item in members) for name, members in groups.items()}
        self.pictures = Counter(item.label for members in groups.values() for item in members)
        #: How many groups of each class are left for training.
        self.left = Counter(label for counts in self.counts.values() for label in counts)
        self.wanted = {label: count * valid_pct for label, count in self.pictures.items()}
        self.all_wanted = sum(self.wanted.values())
        self.kept: Counter[str] = Counter()
        self.all_kept = 0
        self.valid: set[str] = set()

    def cost(self, group: str) -> float:
        """By how much the distance grows when ``group`` changes sides: squares, each relative to what is wanted."""
        sign = -1 if group in self.valid else 1

        def grown(kept: float, count: float, wanted: float) -> float:
            return ((kept + sign * count - wanted) ** 2 - (kept - wanted) ** 2) / wanted

        counts = self.counts[group]
        by_class = sum(grown(self.kept[label], count, self.wanted[label]) for label, count in counts.items())
        return by_class + grown(self.all_kept, counts.total(), self.all_wanted)

    def may_move(self, group: str) -> bool:
        """Whether every class stays in training, and one that is in validation stays there too."""
        counts = self.counts[group]
        if group in self.valid:
            return all(self.kept[label] > count for label, count in counts.items())
        return all(self.left[label] > 1 for label in counts)

    def move(self, group: str) -> None:
        sign = -1 if group in self.valid else 1
        for label, count in self.counts[group].items():
            self.kept[label] += sign * count
            self.left[label] -= sign
        self.all_kept += sign * self.counts[group].total()
        self.valid ^= {group}

    def classes_without(self) -> list[str]:
        return sorted(label for label in self.pictures if not self.kept[label])


def _grouped_split(items: list[Example], valid_pct: float, seed: int) -> tuple[list[Example], list[Example]]:
    groups = groups_of(sorted(items, key=lambda item: (item.label, str(item.path))))
    if len(groups) == 1:
        raise DataError(
            f"all {len(items)} pictures are of one group, {shown(next(iter(groups)))}, which can't be on both sides of "
            "the split; add pictures of another group, a validation channel, or leave the groups out"
        )
    shares = _Shares(groups, valid_pct)
    # Each group's place is its own: where one is added, the others come in the order that they had.
    order = sorted(groups, key=lambda name: (random.Random(f"{seed}:{name}").random(), name))  # noqa: S311
    for name in order:
        if shares.may_move(name) and shares.cost(name) < 0:
            shares.move(name)
    for label in shares.classes_without():
        _bring_in(label, shares, order)
    if not shares.valid:
        raise DataError(
            f"of {len(groups)} groups none can be kept for validation: each is the only one of a class, which would be "
            "missing in training; add groups, a validation channel, or leave the groups out"
        )
    _improve(shares, order)
    sides: tuple[list[Example], list[Example]] = ([], [])
    for name in sorted(groups):
        sides[name in shares.valid].extend(groups[name])
    return sides


def _bring_in(label: str, shares: _Shares, order: list[str]) -> None:
    """Move the group with ``label`` to validation that costs least, if any may be."""
    if shares.kept[label]:
        return
    able = [name for name in order if label in shares.counts[name] and shares.may_move(name)]
    if able:
        shares.move(min(able, key=shares.cost))


def _improve(shares: _Shares, order: list[str]) -> None:
    """Move single groups, the one that helps most first, while that brings the shares nearer to what is wanted."""
    for _ in range(MOST_IMPROVEMENTS):
        best = min((name for name in order if shares.may_move(name)), key=shares.cost, default=None)
        if best is None or shares.cost(best) > -1e-9:
            return
        shares.move(best)


def assign_folds(items: list[Example], folds: int, seed: int) -> list[int]:
    """The part, 0 to ``folds`` - 1, that each of ``items`` belongs to: of about the same size and the same classes.

    A group is in one part. The same for the same ``seed``, whatever the order. Raises DataError for fewer groups than
    parts, or when one leaves less than two pictures.
    """
    groups = groups_of(sorted(items, key=lambda item: str(item.path)))
    if len(groups) < folds:
        what = "groups" if any(item.group for item in items) else "pictures"
        raise DataError(f"folds={folds} needs as many {what} at least, there are {len(groups)}; lower folds or set 0")
    counts = {name: Counter(item.label for item in members) for name, members in groups.items()}
    pictures = Counter(item.label for item in items)
    parts = [Counter[str]() for _ in range(folds)]
    sizes = [0] * folds
    place: dict[str, int] = {}

    def cost(part: int, count: Counter[str], size: int) -> float:
        """By how much the sum of squares grows, which is least where all parts are alike."""
        by_class = sum(n * (2 * parts[part][label] + n) / pictures[label] for label, n in count.items())
        return by_class + size * (2 * sizes[part] + size) / len(items)

    # The large ones first: small ones fill what they leave.
    for name in sorted(groups, key=lambda name: (-len(groups[name]), random.Random(f"{seed}:{name}").random(), name)):  # noqa: S311
        count, size = counts[name], len(groups[name])
        best = min(range(folds), key=lambda part: cost(part, count, size))
        parts[best] += count
        sizes[best] += size
        place |= {str(item.path): best for item in groups[name]}
    if len(items) - max(sizes) < 2:
        raise DataError(
            f"folds={folds}: without the largest part, of {max(sizes)} pictures, {len(items) - max(sizes)} is left to "
            "train on; add pictures or set folds=0"
        )
    return [place[str(item.path)] for item in items]


def split_notes(train: list[Example], valid: list[Example], valid_pct: float) -> list[str]:
    """What a split could not do, each a sentence for the log."""
    notes = []
    absent = sorted({item.label for item in train} - {item.label for item in valid})
    if absent:
        more = f" and {len(absent) - MOST_NAMED} more" if len(absent) > MOST_NAMED else ""
        named = ", ".join(map(shown, absent[:MOST_NAMED])) + more
        notes.append(f"no validation picture is of {named}: how well they are told apart is not measured")
    share = len(valid) / (len(train) + len(valid))
    if any(item.group for item in [*train, *valid]) and abs(share - valid_pct) > 0.05:
        notes.append(f"groups stay whole: validation has {share:.0%} of the pictures instead of {valid_pct:.0%}")
    return notes
