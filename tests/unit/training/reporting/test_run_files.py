from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest

from fastai_training.data.labels import Example
from fastai_training.reporting.run_files import write_history, write_predictions, write_skipped, write_summary


def rows(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def test_what_was_left_out_is_listed_whatever_its_name(tmp_path):
    name = os.fsdecode(b"caf\xe9.jpg")
    write_skipped(tmp_path, [("training", name, "broken"), ("training", "=1+1.jpg", "broken")], pytest.fail)
    assert rows(tmp_path / "skipped.csv") == [
        ["channel", "file", "reason"],
        ["training", "caf?.jpg", "broken"],
        ["training", "'=1+1.jpg", "broken"],
    ]


def test_each_epoch_is_a_row(tmp_path):
    write_history(tmp_path, [], pytest.fail)
    assert not list(tmp_path.iterdir())
    write_history(tmp_path, [{"epoch": 1, "train_loss": 0.5}, {"epoch": 2}], pytest.fail)
    assert rows(tmp_path / "history.csv") == [["epoch", "train_loss"], ["1", "0.5"], ["2", ""]]


def test_what_only_later_epochs_have_is_a_column_too(tmp_path):
    """The first epochs may come from a checkpoint of a version that told fewer values."""
    write_history(tmp_path, [{"epoch": 1, "seconds": 2}, {"epoch": 2, "f1_macro": 0.5, "seconds": 3}], pytest.fail)
    assert rows(tmp_path / "history.csv") == [["epoch", "f1_macro", "seconds"], ["1", "", "2"], ["2", "0.5", "3"]]


def test_each_validation_picture_has_its_prediction(tmp_path):
    valid = [Example(tmp_path / "a" / "1.jpg", "cat"), Example(tmp_path / "2.jpg", "dog")]
    probabilities = np.array([[0.25, 0.75], [0.1, 0.9]])
    write_predictions(tmp_path / "out", tmp_path, valid, probabilities, ["cat", "dog"], pytest.fail)
    assert rows(tmp_path / "out" / "validation.csv") == [
        ["file", "label", "predicted", "confidence"],
        ["a/1.jpg", "cat", "dog", "0.7500"],
        ["2.jpg", "dog", "dog", "0.9000"],
    ]


def test_each_test_picture_has_its_prediction_in_another_table(tmp_path):
    items = [Example(tmp_path / "1.jpg", "cat")]
    write_predictions(tmp_path, tmp_path, items, np.array([[0.6, 0.4]]), ["cat", "dog"], pytest.fail, "test.csv")
    assert rows(tmp_path / "test.csv")[1:] == [["1.jpg", "cat", "cat", "0.6000"]]
    assert not (tmp_path / "validation.csv").exists()


def test_the_summary_is_json(tmp_path):
    write_summary(tmp_path, {"labels_from": "柴犬"}, pytest.fail)
    text = (tmp_path / "summary.json").read_text(encoding="utf-8")
    assert json.loads(text) == {"labels_from": "柴犬"}
    assert "柴犬" in text


def test_a_table_that_can_not_be_written_is_a_warning(tmp_path):
    (tmp_path / "file").touch()
    said: list[str] = []
    write_skipped(tmp_path / "file", [], said.append)
    assert len(said) == 1
    assert said[0].startswith("warning: ")
