from __future__ import annotations

import threading

from fastai_serving.worker import malloc_trim
from fastai_serving.worker.malloc_trim import LARGE, Trimmer

PATIENCE = 120


def test_memory_is_trimmed_once_after_the_last_large_batch(monkeypatch):
    trimmed = threading.Event()
    calls = []

    def trim() -> None:
        calls.append(1)
        trimmed.set()

    monkeypatch.setattr(malloc_trim, "trim", trim)
    trimmer = Trimmer(quiet_seconds=0.2)
    trimmer.note(LARGE - 1)
    assert not [thread for thread in threading.enumerate() if thread.name == "trim"]
    for _ in range(5):
        trimmer.note(LARGE)
    assert trimmed.wait(PATIENCE)
    assert len(calls) == 1
    trimmed.clear()
    trimmer.note(LARGE)  # it is there for the next ones too
    assert trimmed.wait(PATIENCE)
    assert len(calls) == 2


def test_trimming_is_harmless():
    malloc_trim.trim()
