"""Classes of unequal size: weights of the loss, or an order that draws each class equally often."""

from __future__ import annotations

import math
import random
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from fastai_training.quoting import shown


def class_weights(how: str, counts: Mapping[str, int]) -> dict[str, float]:
    """The weight of each class's pictures in the loss; their mean over all pictures is 1.

    ``balanced``: pictures / (classes * the class's pictures), as scikit-learn has it; ``sqrt``: its square root, for
    where a class of few pictures would get so much weight that a single one of them decides.
    """
    pictures, classes = sum(counts.values()), len(counts)
    weights = {label: pictures / (classes * count) for label, count in counts.items()}
    if how == "sqrt":
        weights = {label: math.sqrt(weight) for label, weight in weights.items()}
    mean = sum(weight * counts[label] for label, weight in weights.items()) / pictures
    return {label: weight / mean for label, weight in weights.items()}


def balanced_order(labels: Sequence[str], drawn: random.Random) -> list[int]:
    """As many numbers of pictures as there are ``labels``, each class equally often (but for one picture).

    A class is gone through whole before one of its pictures comes again, so of a large class some are left out. The
    ``k``-th repetition of picture ``i`` is ``i + k * len(labels)``: each can then get a view of its own.
    """
    total = len(labels)
    members: dict[str, list[int]] = defaultdict(list)
    for number, label in enumerate(labels):
        members[label].append(number)
    share, rest = divmod(total, len(members))
    longer = set(drawn.sample(sorted(members), rest))
    order: list[int] = []
    for label, numbers in sorted(members.items()):
        rounds, part = divmod(share + (label in longer), len(numbers))
        order += [number + turn * total for turn in range(rounds) for number in numbers]
        order += [number + rounds * total for number in drawn.sample(numbers, part)]
    drawn.shuffle(order)
    return order


def _extremes(counts: Mapping[str, int]) -> tuple[str, str]:
    """The rarest and the commonest class, by name where several are."""
    by_count = sorted(counts, key=lambda label: (counts[label], label))
    return by_count[0], by_count[-1]


def weights_told(how: str, counts: Mapping[str, int]) -> str:
    """The line of the log that says what ``class_weights`` does here."""
    weights = class_weights(how, counts)
    rarest, commonest = _extremes(counts)
    return (
        f"class_weights={how}: {weights[rarest]:.3g} for {shown(rarest)}, the rarest class ({counts[rarest]} "
        f"pictures), {weights[commonest]:.3g} for {shown(commonest)}, the commonest ({counts[commonest]})"
    )


def sampling_told(labels: Sequence[str]) -> str:
    """The line of the log that says what balanced sampling does here."""
    counts = Counter(labels)
    rarest, commonest = _extremes(counts)
    share = len(labels) / len(counts)
    return (
        f"sampling=balanced: about {share:.0f} pictures of each class an epoch: one of {shown(rarest)}, the rarest "
        f"class, comes {share / counts[rarest]:.3g} times, one of {shown(commonest)}, the commonest, "
        f"{share / counts[commonest]:.3g} times"
    )
