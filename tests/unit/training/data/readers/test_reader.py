from __future__ import annotations

import dataclasses

from fastai_training.data.picture_files import read_tree
from fastai_training.data.readers.reader import Asked, Channel
from fastai_training.hyperparameters import HyperParameters
from tests.unit.training_data import write_empty


def test_what_may_be_asked_are_hyperparameters_of_these_names_and_defaults():
    parameters = {field.name: field.default for field in dataclasses.fields(HyperParameters)}
    for field in dataclasses.fields(Asked):
        assert parameters[field.name] == field.default


def test_tables_of_a_channel_of_their_own_go_before_those_beside_the_pictures(tmp_path):
    write_empty(tmp_path, "data/a.csv", "labels/b.csv")
    tree = read_tree(tmp_path / "data")
    assert [path.name for path in Channel(tmp_path / "data", tree).tables] == ["a.csv"]
    own = Channel(tmp_path / "data", tree, labels=(tmp_path / "labels" / "b.csv",))
    assert [own.name(path) for path in own.tables] == ["b.csv"]


def test_files_are_named_by_their_place_in_the_channel(tmp_path):
    write_empty(tmp_path, "cat/{}.jpg")
    channel = Channel(tmp_path, read_tree(tmp_path))
    assert [channel.name(path) for path in channel.pictures] == [f"cat/{number}.jpg" for number in range(4)]


def test_masks_are_left_out_and_noted(tmp_path):
    write_empty(tmp_path, "images/{}.jpg", "masks/{}.png")
    channel = Channel(tmp_path, read_tree(tmp_path))
    assert [channel.name(path) for path in channel.without_masks()] == [f"images/{number}.jpg" for number in range(4)]
    assert [note.text.partition(":")[0] for note in channel.notes] == ["4 files in masks are not used"]
