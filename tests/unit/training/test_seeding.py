from __future__ import annotations

import random

import pytest

torch = pytest.importorskip("torch")
np = pytest.importorskip("numpy")

from fastai_training.seeding import seed_everything  # noqa: E402


def drawn(*key: object) -> tuple[float, float, float]:
    seed_everything(*key)
    return random.random(), float(np.random.rand()), float(torch.rand(1))


def test_all_generators_follow_from_the_place_alone():
    first = drawn(42, 1, 3)
    assert drawn(42, 1, 3) == first
    other = drawn(42, 1, 4)
    assert all(a != b for a, b in zip(first, other, strict=True))
