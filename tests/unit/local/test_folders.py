from __future__ import annotations

from pathlib import Path

import pytest

from fastai_local.errors import UsageError
from fastai_local.folders import require_folder


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (None, "DATA is missing: name a folder"),
        ("gone", r"DATA=.*/gone: there is no such folder \(name a folder\)"),
        ("file", r"DATA=.*/file is not a folder \(name a folder\)"),
    ],
)
def test_what_is_no_folder_is_an_error_that_names_the_variable(tmp_path: Path, name: str | None, message: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=message):
        require_folder("DATA", tmp_path / name if name else None, "name a folder")


def test_a_folder_is_returned(tmp_path: Path) -> None:
    assert require_folder("DATA", tmp_path, "name a folder") == tmp_path
