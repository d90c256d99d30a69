"""Folders as users bring them: what is read of them, and what is said of the rest."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastai_container.paths import MLPaths
from fastai_training.data.channels import Channels, find_channels
from fastai_training.data.labels import DataError
from fastai_training.data.reading import Data, read_data
from fastai_training.hyperparameters import HyperParameters, parse
from tests.fixtures.data_cases import CASES, Right
from tests.unit.training_data import write_pictures


def read(root: Path, right: Right) -> tuple[Data, str]:
    """Read a case's channels as a job does; what was found, and all that was said."""
    place = root.parent / "ml"
    paths = MLPaths(place)
    paths.data.mkdir(parents=True)
    for name, where in right.channels.items():
        (paths.data / name).symlink_to(root / where)
    said: list[str] = []
    parameters = parse({"image_size": "32", **right.hyperparameters})
    return read_data(find_channels(paths), parameters, said.append, 1), "\n".join(said)


@pytest.mark.parametrize("name", CASES)
def test_a_folder_as_users_bring_it(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "case"
    folder.mkdir()
    right = CASES[name](folder)
    if right.vocab is None or right.task != "single":
        with pytest.raises(DataError) as raised:
            read(folder, right)
        for word in (*right.says, *([] if right.task == "single" else [f"task={right.task}"])):
            assert word in str(raised.value)
        return
    data, said = read(folder, right)
    assert data.vocab == right.vocab
    if right.total:
        assert len(data.train) + len(data.valid) == right.total
    if right.train is not None:
        assert (len(data.train), len(data.valid)) == (right.train, right.valid)
    for word in right.says:
        assert word in said


def test_a_part_of_the_training_channel_is_kept_for_validation(tmp_path):
    write_pictures(tmp_path, 5)
    said: list[str] = []
    data = read_data(Channels(tmp_path), HyperParameters(image_size=32), said.append, 1)
    assert (len(data.train), len(data.valid), data.vocab) == (12, 3, ["blue", "green", "red"])
    assert said[-1] == "training on 12 pictures, validating on 3, 3 classes"


def test_a_validation_channel_is_taken_whole_and_what_is_left_out_is_listed(tmp_path):
    write_pictures(tmp_path / "t", 3)
    write_pictures(tmp_path / "v", 9)
    (tmp_path / "v" / "red_99.jpg").write_bytes(b"no picture")
    said: list[str] = []
    data = read_data(Channels(tmp_path / "t", tmp_path / "v"), HyperParameters(image_size=32), said.append, 1)
    assert (len(data.train), len(data.valid)) == (9, 27)
    assert [row[:2] for row in data.skipped] == [("validation", "red_99.jpg")]
    assert any(line.startswith("channel validation: 1 pictures left out (red_99.jpg: ") for line in said)


def test_a_class_that_validation_alone_has_is_refused(tmp_path):
    write_pictures(tmp_path / "t", 3, ("red", "blue"))
    write_pictures(tmp_path / "v", 3, ("red", "green"))
    with pytest.raises(DataError, match="classes that training does not: green"):
        read_data(Channels(tmp_path / "t", tmp_path / "v"), HyperParameters(image_size=32), print, 1)
