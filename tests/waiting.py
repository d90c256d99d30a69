"""How tests wait: for something to happen, with a limit that only a fault reaches, never for a time.

A machine that is busy with something else is no reason to fail (``tests/unit/test_tests.py`` holds the tests to it).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

#: Seconds. What takes so long has failed, on any machine.
PATIENCE = 120

Value = TypeVar("Value")


def until(condition: Callable[[], Value], why: Callable[[], object] = lambda: "", seconds: float = PATIENCE) -> Value:
    """Call ``condition`` until what it returns is true, and return that; ``why`` says what is wrong if it never is."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, why()
        time.sleep(0.02)
    return value
