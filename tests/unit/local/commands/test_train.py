from __future__ import annotations

from pathlib import Path

import pytest

from fastai_local.commands import train as subject
from fastai_local.errors import UsageError
from fastai_local.settings import Settings


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: None, "DATA is missing"),
        (lambda p: p / "gone", "no such folder"),
        (lambda p: p / "file", "not a folder"),
    ],
)
def test_wrong_data_is_an_error_that_names_it(tmp_path: Path, make, message: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=f"DATA.*{message}|{message}"):
        subject.train_command(Settings(data=make(tmp_path)))
