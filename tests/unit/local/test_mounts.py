from __future__ import annotations

import csv
from pathlib import Path

import pytest

from fastai_local.mounts import mount


@pytest.mark.parametrize("name", ["plain", "with, a comma", 'with "quotes"', "with: a colon"])
def test_any_path_is_one_field_to_docker(name: str) -> None:
    option, value = mount(Path("/data") / name, "/opt/ml/model")
    assert option == "--mount"
    assert next(csv.reader([value])) == ["type=bind", f"source=/data/{name}", "target=/opt/ml/model"]


def test_read_only() -> None:
    assert mount(Path("/a"), "/b", read_only=True) == ["--mount", "type=bind,source=/a,target=/b,readonly"]
