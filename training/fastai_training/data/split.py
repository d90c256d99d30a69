"""Keep part of each class for validation."""

from __future__ import annotations

import random
from collections import defaultdict

from fastai_training.data.labels import DataError, Example


def stratified_split(items: list[Example], valid_pct: float, seed: int) -> tuple[list[Example], list[Example]]:
    """Training and validation examples, each class split by ``valid_pct`` (0 to 1), the same for the same ``seed``.

    A class of two or more pictures has at least one on each side; a class of one stays in training. Raises DataError
    when that leaves nothing to validate on.
    """
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
