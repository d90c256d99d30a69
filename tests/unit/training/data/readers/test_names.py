from __future__ import annotations

import pytest

from fastai_training.data.labels import DataError
from fastai_training.data.sources import find_examples
from tests.unit.training_data import COLOURS, write_picture, write_pictures


def test_labels_come_from_names(tmp_path):
    write_pictures(tmp_path, 2)
    write_picture(tmp_path / "american_pit_bull_terrier_12.JPG", COLOURS["red"])
    found = find_examples(tmp_path)
    assert found.source == "names"
    assert found.vocab == ["american_pit_bull_terrier", "blue", "green", "red"]
    assert found.counts()["red"] == 2


def test_a_stray_name_is_left_out_and_listed(tmp_path):
    write_pictures(tmp_path, 5)
    write_picture(tmp_path / "readme.jpg", COLOURS["red"])
    found = find_examples(tmp_path)
    assert len(found.items) == 15
    assert found.skipped == [("readme.jpg", "no label in its name (label_number.jpg)")]


def test_names_that_say_nothing_are_refused(tmp_path):
    for number in range(4):
        write_picture(tmp_path / f"IMG{number}.jpg", COLOURS["red"])
    with pytest.raises(DataError, match="can't tell the labels"):
        find_examples(tmp_path)
