from __future__ import annotations

import json
from pathlib import Path

import pytest

from fastai_local import samples as subject
from fastai_local.errors import LocalError
from fastai_local.native_runtime import NativeRuntime
from fastai_local.settings import Settings


class Runtime(NativeRuntime):
    """A runtime whose program for sample data ends as the test says."""

    def __init__(self, code: int, last: str) -> None:
        super().__init__(Settings())
        self.outcome = code, last

    def get_sample_data(self, folder: Path) -> tuple[int, str]:
        return self.outcome


def test_the_sample_data_and_its_hyperparameters(tmp_path: Path) -> None:
    said = json.dumps({"data": str(tmp_path / "digits"), "name": "digits", "hyperparameters": {"epochs": 2}})
    assert subject.sample_data(Runtime(0, said), tmp_path) == (tmp_path / "digits", {"epochs": "2"})


def test_no_sample_data_says_what_to_pass(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match="DATA="):
        subject.sample_data(Runtime(1, ""), tmp_path)
    with pytest.raises(LocalError, match="printed 'done' instead of JSON"):
        subject.sample_data(Runtime(0, "done"), tmp_path)
