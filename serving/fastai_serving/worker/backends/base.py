"""What a backend does: run a compiled model on pictures."""

from __future__ import annotations

from typing import Protocol

import numpy as np


class Backend(Protocol):
    #: Pixels of a picture's side; None where the compiled model doesn't say.
    size: int | None

    def predict(self, pictures: np.ndarray) -> np.ndarray:
        """Give probabilities float32 (n, classes) of uint8 RGB pictures (n, size, size, 3)."""

    def set_busy_workers(self, busy: int) -> None:
        """Share the machine with ``busy`` workers, this one among them, from now on."""
