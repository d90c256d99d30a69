"""The same pictures in every form that is read are the same data."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastai_training.data.channels import Channels
from fastai_training.data.reading import Data, read_data
from fastai_training.hyperparameters import HyperParameters
from tests.fixtures.forms import FORMS, Pictures
from tests.unit.training_data import write_pictures


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Pictures:
    paths = write_pictures(tmp_path_factory.mktemp("pictures"), 12)
    return [(path, path.stem.rpartition("_")[0]) for path in paths]


def contents(data: Data) -> list[list[tuple[bytes, str]]]:
    return [[(item.path.read_bytes(), item.label) for item in part] for part in (data.train, data.valid)]


@pytest.mark.parametrize("name", FORMS)
def test_each_form_gives_the_same_split_in_the_same_order(name: str, pictures: Pictures, tmp_path: Path) -> None:
    wanted, given = tmp_path / "names", tmp_path / name
    FORMS["names"](pictures, wanted)
    if name != "names":
        FORMS[name](pictures, given)
    said: list[str] = []
    parameters = HyperParameters(image_size=32)
    right = read_data(Channels(wanted), parameters, said.append, 1)
    said.clear()
    data = read_data(Channels(given), parameters, said.append, 1)
    assert f"labels from {name}" in said[0]
    assert (data.vocab, len(data.train), len(data.valid)) == (["blue", "green", "red"], 30, 6)
    assert contents(data) == contents(right)
