from __future__ import annotations

import json

import pytest

from fastai_container.paths import MLPaths
from fastai_training.data.channels import Channels, find_channels
from fastai_training.data.labels import DataError
from tests.unit.training_data import write_pictures


def test_channels_go_by_their_names(tmp_path):
    paths = MLPaths(tmp_path)
    for name in ("train", "valid", "weights"):
        (paths.data / name).mkdir(parents=True)
    data = paths.data
    assert find_channels(paths) == Channels(data / "train", data / "valid", data / "weights")
    for name in ("training", "validation"):
        (paths.data / name).mkdir()
    found = find_channels(paths)
    assert (found.training, found.validation) == (data / "training", data / "validation")
    assert found.unread == (
        "channel train is not read (0 pictures, 0 tables): the channel training is taken for training",
        "channel valid is not read (0 pictures, 0 tables): the channel validation is taken for validation",
    )


def test_a_channel_that_nobody_reads_is_named_with_what_it_holds(tmp_path):
    paths = MLPaths(tmp_path)
    (paths.data / "training").mkdir(parents=True)
    write_pictures(paths.data / "validaton", 2)
    (paths.data / "code").mkdir()
    assert find_channels(paths).unread == (
        "channel validaton is not read (6 pictures, 0 tables); did you mean validation?",
    )


def test_a_channel_of_labels_alone_belongs_to_its_pictures(tmp_path):
    paths = MLPaths(tmp_path)
    for name in ("train", "validation", "train_lst", "manifest"):
        (paths.data / name).mkdir(parents=True)
    (paths.data / "train_lst" / "train.lst").write_text("0\t0\ta.jpg\n")
    (paths.data / "manifest" / "output.manifest").write_text("{}\n")
    found = find_channels(paths)
    assert [path.name for path in found.labels_of("training")] == ["train.lst", "output.manifest"]
    assert [path.name for path in found.labels_of("validation")] == ["output.manifest"]
    assert found.unread == ()


def test_a_stream_is_refused_with_what_to_use(tmp_path):
    paths = MLPaths(tmp_path)
    (paths.data / "training").mkdir(parents=True)
    paths.config.mkdir(parents=True)
    (paths.config / "inputdataconfig.json").write_text('{"training": {"TrainingInputMode": "Pipe"}}')
    with pytest.raises(DataError, match=r"training comes in Pipe mode.*File, or to FastFile"):
        find_channels(paths)


@pytest.mark.parametrize(
    ("described", "is_fast_file"),
    [
        ({"train": {"TrainingInputMode": "FastFile"}}, True),
        ({"train": {"TrainingInputMode": "File"}, "validation": {"TrainingInputMode": "FastFile"}}, False),
        ({}, False),
    ],
)
def test_it_is_known_whether_training_pictures_are_fetched_as_they_are_read(tmp_path, described, is_fast_file):
    paths = MLPaths(tmp_path)
    (paths.data / "train").mkdir(parents=True)
    paths.config.mkdir(parents=True)
    (paths.config / "inputdataconfig.json").write_text(json.dumps(described))
    assert find_channels(paths).fast_file is is_fast_file


@pytest.mark.parametrize("name", ["train_annotation", "validation_annotation"])
def test_masks_of_segmentation_are_refused(tmp_path, name):
    paths = MLPaths(tmp_path)
    for channel in ("train", name):
        (paths.data / channel).mkdir(parents=True)
    with pytest.raises(DataError, match=f"{name} holds masks.*task=segmentation"):
        find_channels(paths)


def test_without_a_training_channel_it_says_what_there_is(tmp_path):
    paths = MLPaths(tmp_path)
    with pytest.raises(DataError, match=r"no channel named training .*there is none"):
        find_channels(paths)
    (paths.data / "pictures").mkdir(parents=True)
    with pytest.raises(DataError, match="there is only pictures"):
        find_channels(paths)
