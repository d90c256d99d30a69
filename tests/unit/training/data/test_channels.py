from __future__ import annotations

import pytest

from fastai_container.paths import MLPaths
from fastai_training.data.channels import Channels, find_channels, read_data
from fastai_training.data.labels import DataError
from fastai_training.hyperparameters import HyperParameters
from tests.unit.training_data import write_pictures


def test_channels_go_by_their_names(tmp_path):
    paths = MLPaths(tmp_path)
    for name in ("train", "valid", "weights", "other"):
        (paths.data / name).mkdir(parents=True)
    data = paths.data
    assert find_channels(paths) == Channels(data / "train", data / "valid", data / "weights")
    for name in ("training", "validation"):
        (paths.data / name).mkdir()
    assert find_channels(paths) == Channels(data / "training", data / "validation", data / "weights")


def test_without_a_training_channel_it_says_what_there_is(tmp_path):
    paths = MLPaths(tmp_path)
    with pytest.raises(DataError, match=r"no channel named training .*there is none"):
        find_channels(paths)
    (paths.data / "pictures").mkdir(parents=True)
    with pytest.raises(DataError, match="there is only pictures"):
        find_channels(paths)


def test_a_part_of_the_training_channel_is_kept_for_validation(tmp_path):
    write_pictures(tmp_path, 5)
    said: list[str] = []
    data = read_data(Channels(tmp_path, None, None), HyperParameters(image_size=32), said.append, 1)
    assert (len(data.train), len(data.valid), data.vocab) == (12, 3, ["blue", "green", "red"])
    assert said[-1] == "training on 12 pictures, validating on 3, 3 classes"


def test_a_validation_channel_is_taken_whole_and_what_is_left_out_is_listed(tmp_path):
    write_pictures(tmp_path / "t", 3)
    write_pictures(tmp_path / "v", 9)
    (tmp_path / "v" / "red_99.jpg").write_bytes(b"no picture")
    said: list[str] = []
    data = read_data(Channels(tmp_path / "t", tmp_path / "v", None), HyperParameters(image_size=32), said.append, 1)
    assert (len(data.train), len(data.valid)) == (9, 27)
    assert [row[:2] for row in data.skipped] == [("validation", "red_99.jpg")]
    assert any(line.startswith("channel validation: 1 pictures left out (red_99.jpg: ") for line in said)


def test_a_class_that_validation_alone_has_is_refused(tmp_path):
    write_pictures(tmp_path / "t", 3, ("red", "blue"))
    write_pictures(tmp_path / "v", 3, ("red", "green"))
    with pytest.raises(DataError, match="classes that training does not: green"):
        read_data(Channels(tmp_path / "t", tmp_path / "v", None), HyperParameters(image_size=32), print, 1)
