from __future__ import annotations

import dataclasses

from fastai_training.data.picture_files import read_tree
from fastai_training.data.readers.reader import AUTO, Asked, Channel
from fastai_training.data.reading import asked_of
from fastai_training.hyperparameters import HyperParameters
from tests.unit.training_data import write_pictures


def test_what_is_asked_of_labels_are_hyperparameters_with_the_same_defaults():
    names = {field.name for field in dataclasses.fields(HyperParameters)}
    assert {field.name for field in dataclasses.fields(Asked)} <= names
    assert asked_of(HyperParameters()) == Asked()
    assert Asked().label_from == AUTO


def test_tables_of_a_channel_of_their_own_are_meant(tmp_path):
    write_pictures(tmp_path / "pictures", 1)
    (tmp_path / "pictures/labels.csv").touch()
    other = tmp_path / "labels" / "other.csv"
    tree = read_tree(tmp_path / "pictures")
    assert Channel(tmp_path / "pictures", tree).tables == [tmp_path / "pictures/labels.csv"]
    channel = Channel(tmp_path / "pictures", tree, labels=(other,))
    assert channel.tables == [other]
    assert channel.name(other) == "other.csv"


def test_a_channel_knows_its_files_by_their_names(tmp_path):
    write_pictures(tmp_path / "a/b", 1, ("red",))
    channel = Channel(tmp_path, read_tree(tmp_path))
    assert channel.pictures == [tmp_path / "a/b/red_1.jpg"]
    assert channel.name(tmp_path / "a/b/red_1.jpg") == "a/b/red_1.jpg"
    assert channel.index.find("red_1") == (tmp_path / "a/b/red_1.jpg", "")
    assert channel.index is channel.index
