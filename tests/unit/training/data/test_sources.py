from __future__ import annotations

import dataclasses

import pytest

from fastai_training.data.labels import DataError
from fastai_training.data.readers import READERS
from fastai_training.data.sources import find_examples
from fastai_training.hyperparameters import HyperParameters
from tests.unit.training_data import COLOURS, write_picture, write_pictures


def test_hidden_files_and_folders_are_no_pictures(tmp_path):
    write_pictures(tmp_path, 2)
    write_picture(tmp_path / "._red_3.jpg", COLOURS["red"])
    write_picture(tmp_path / "__MACOSX" / "red_4.jpg", COLOURS["red"])
    write_picture(tmp_path / ".cache" / "red_5.jpg", COLOURS["red"])
    assert len(find_examples(tmp_path).items) == 6


def test_an_empty_folder_says_what_a_picture_is(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(DataError, match=r"it holds notes\.txt.*\.jpg"):
        find_examples(tmp_path)


def test_one_class_is_too_few(tmp_path):
    write_pictures(tmp_path, 3, ("red",))
    with pytest.raises(DataError, match="only the class 'red'"):
        find_examples(tmp_path)


def test_every_reader_is_a_choice_of_the_hyperparameter():
    field = next(field for field in dataclasses.fields(HyperParameters) if field.name == "label_from")
    assert set(field.metadata["choices"]) == {"auto", *READERS}
    assert all(f"`{name}`" in field.metadata["doc"] for name in READERS)


@pytest.mark.parametrize("name", READERS)
def test_a_reader_that_is_asked_for_is_taken(tmp_path, name):
    write_pictures(tmp_path / "cat", 2)
    write_pictures(tmp_path / "dog", 2)
    (tmp_path / "labels.csv").write_text("file,label\ncat/red_1.jpg,warm\ndog/blue_1.jpg,cold\n")
    vocab = {"names": ["blue", "green", "red"], "folders": ["cat", "dog"], "manifest": ["cold", "warm"]}
    found = find_examples(tmp_path, name)
    assert found.vocab == vocab[name]
    assert found.source.startswith(name)


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match=r"there is no folder .*none"):
        find_examples(tmp_path / "none")
