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
        "channel train is not read (0 files of pictures, 0 tables): the channel training is taken for training",
        "channel valid is not read (0 files of pictures, 0 tables): the channel validation is taken for validation",
    )


def test_a_channel_that_nobody_reads_is_named_with_what_it_holds(tmp_path):
    paths = MLPaths(tmp_path)
    (paths.data / "training").mkdir(parents=True)
    write_pictures(paths.data / "validaton", 2)
    (paths.data / "code").mkdir()
    assert find_channels(paths).unread == (
        "channel validaton is not read (6 files of pictures, 0 tables); did you mean validation?",
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


def test_what_a_channel_of_labels_lacks_or_has_too_much_of_is_named(tmp_path):
    paths = MLPaths(tmp_path)
    for name in ("train", "train_lst", "test_lst", "labels", "manifest"):
        (paths.data / name).mkdir(parents=True)
    (paths.data / "test_lst" / "test.lst").write_text("0\t0\ta.jpg\n")
    write_pictures(paths.data / "labels", 1)
    (paths.data / "manifest" / "output.manifest").write_text("{}\n")
    write_pictures(paths.data / "manifest", 2)
    found = find_channels(paths)
    assert found.unread == (
        "channel labels is not read (3 files of pictures, 0 tables): it has no list or table of labels",
        "channel manifest is read for labels alone (6 files of pictures, 1 tables); pass pictures as training",
        "channel test_lst is not read (0 files of pictures, 1 tables): there is no channel test for its labels",
        "channel train_lst is not read (0 files of pictures, 0 tables): it has no list or table of labels",
    )
    assert [path.name for path in found.labels_of("training")] == ["output.manifest"]


def test_files_of_records_are_counted_in_a_channel_that_nobody_reads(tmp_path):
    paths = MLPaths(tmp_path)
    for name in ("train", "Validation"):
        (paths.data / name).mkdir(parents=True)
    (paths.data / "Validation" / "val.rec").touch()
    assert find_channels(paths).unread == (
        "channel Validation is not read (1 files of pictures, 0 tables); did you mean validation?",
    )


def test_of_lists_for_all_channels_each_channel_gets_its_own(tmp_path):
    for name in ("train.lst", "val.lst", "test.lst"):
        (tmp_path / "labels").mkdir(exist_ok=True)
        (tmp_path / "labels" / name).write_text("0\t0\ta.jpg\n")

    def of(channel: str, **folders):
        channels = Channels(tmp_path / "t", labels={"": [tmp_path / "labels"]}, **folders)
        return [path.name for path in channels.labels_of(channel)]

    assert of("training") == ["test.lst", "train.lst", "val.lst"], "the pictures of all parts are there"
    assert of("training", validation=tmp_path) == ["test.lst", "train.lst"]
    assert of("training", validation=tmp_path, test=tmp_path) == ["train.lst"]
    assert of("validation", validation=tmp_path) == ["val.lst"]
    assert of("test", test=tmp_path) == ["test.lst"]
    (tmp_path / "labels" / "more.csv").write_text("file,label\n")
    assert of("validation", validation=tmp_path) == ["more.csv", "test.lst", "train.lst", "val.lst"]
