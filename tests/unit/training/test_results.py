"""What a run says of its test set, or of its validation pictures; real jobs are in tests/contract."""

from __future__ import annotations

import csv
import dataclasses
import json
import re
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("openvino")

from fastai_container.paths import MLPaths
from fastai_training import trainer
from fastai_training.data.labels import DataError, Example
from fastai_training.fitting.stop_signal import Stop
from fastai_training.metrics import definitions
from fastai_training.world import Processes
from tests.unit.training_data import ARCH, write_pictures, write_weights

PARAMETERS = {
    "arch": ARCH,
    "epochs": "0",
    "freeze_epochs": "1",
    "batch_size": "8",
    "image_size": "32",
    "workers": "0",
    "serving_precision": "fp32",
    "precision": "fp32",
}


def prepare(folder: Path, **parameters: str) -> MLPaths:
    """An /opt/ml with pictures of three colours and weights."""
    write_pictures(folder / "input/data/training", 8)
    write_weights(folder / "input/data/weights")
    config = folder / "input/config"
    config.mkdir(parents=True)
    (config / "hyperparameters.json").write_text(json.dumps(PARAMETERS | parameters))
    return MLPaths(folder)


def run(paths: MLPaths, capsys: pytest.CaptureFixture[str]) -> str:
    """Train, and return the log."""
    trainer.train(paths, Processes(), Stop(lambda: None))
    return capsys.readouterr().out


def content(paths: MLPaths, name: str) -> dict:
    return json.loads((paths.output_data / name).read_text(encoding="utf-8"))


def metric(name: str, log: str) -> list[float]:
    regex = next(definition["Regex"] for definition in definitions() if definition["Name"] == name)
    return [float(match[1]) for line in log.splitlines() if (match := re.search(regex, line))]


def test_a_test_set_is_scored_once_by_the_served_model(tmp_path, monkeypatch, capsys):
    paths = prepare(tmp_path)
    pictures = write_pictures(paths.data / "test", 2, ("green", "red"))
    gone = Example(paths.data / "test" / "red_9.jpg", "red")
    read = trainer.read_data

    def with_test(*arguments):
        data = read(*arguments)
        return dataclasses.replace(data, test=[*data.test, gone])

    monkeypatch.setattr(trainer, "read_data", with_test)
    log = run(paths, capsys)
    with (paths.output_data / "test_predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == [path.name for path in pictures]
    error = sum(row["label"] != row["predicted"] for row in rows) / 4
    assert metric("final_test_error_rate", log) == [pytest.approx(error, abs=1e-4)]
    assert "warning: 1 test pictures can't be read any more, red_9.jpg is one" in log
    summary = content(paths, "summary.json")
    assert summary["folds"] is None
    assert (summary["test_pictures"], summary["metrics"]["test_error_rate"]) == (4, error)
    evaluation = content(paths, "evaluation.json")
    assert evaluation["dataset"] == {"item_count": 4, "split": "test"}
    metrics = evaluation["multiclass_classification_metrics"]
    assert metrics["accuracy"] == {"value": pytest.approx(1 - error), "standard_deviation": "NaN"}
    assert sum(metrics["confusion_matrix"]["red"].values()) == 2
    assert content(paths, "report.json")["test"]["error_rate"] == error


def test_without_a_test_set_the_evaluation_is_of_the_validation_pictures_and_folds_are_told(tmp_path, capsys):
    paths = prepare(tmp_path, folds="2")
    log = run(paths, capsys)
    summary = content(paths, "summary.json")
    assert len(summary["folds"]["error_rates"]) == 2
    assert metric("final_error_rate", log) == [pytest.approx(summary["metrics"]["error_rate"], abs=1e-4)]
    assert len(metric("error_rate", log)) == 1, "the folds' line is none of an epoch"
    assert summary["test_pictures"] == 0
    assert "test_error_rate" not in summary["metrics"]
    assert metric("final_test_error_rate", log) == []
    assert not (paths.output_data / "test_predictions.csv").exists()
    evaluation = content(paths, "evaluation.json")
    assert evaluation["dataset"] == {"item_count": summary["validation_pictures"], "split": "validation"}
    accuracy = evaluation["multiclass_classification_metrics"]["accuracy"]["value"]
    assert accuracy == pytest.approx(1 - summary["metrics"]["error_rate"])


def test_more_folds_than_pictures_fail_before_anything_is_trained(tmp_path, monkeypatch):
    paths = prepare(tmp_path, folds="20")
    for path in sorted((paths.data / "training").iterdir())[:-12]:
        path.unlink()
    monkeypatch.setitem(sys.modules, "fastai_training.fitting.fit", None)  # importing it would be an ImportError
    with pytest.raises(DataError, match="folds=20 needs as many pictures at least, there are 12"):
        trainer.train(paths, Processes(), Stop(lambda: None))
