"""Random numbers that depend on a place in the run alone."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch


def seed_everything(*key: Any) -> None:
    """Seed Python's, NumPy's and torch's generators (CUDA's too) by ``key``."""
    number = random.Random(":".join(map(str, key))).getrandbits(63)  # noqa: S311 - no secret
    random.seed(number)
    np.random.seed(number % 2**32)
    torch.manual_seed(number)
