from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

from fastai_training.metrics import EPOCH_METRICS, definitions, final_line, objective

FINAL = {
    "error_rate": 0.25,
    "balanced_accuracy": 0.76,
    "f1_macro": 0.77,
    "valid_loss": 1.2445,
    "training_seconds": 41,
    "serving_error_rate": 0.24,
    "serving_milliseconds": 4.5,
    "test_error_rate": 0.3,
}
#: As callbacks.Progress writes them.
EPOCH = (
    "epoch={} train_loss={} valid_loss={} error_rate={} balanced_accuracy={} f1_macro={} images_per_second={} eta=12s"
)
LOG = f"""training on 48 pictures, validating on 12, 3 classes
epoch 1/3  75% time left 14s
{EPOCH.format(1, 0.9556, 0.3929, 0.1667, 0.8, 0.7, 34.2)}
{EPOCH.format(2, "1e-05", "inf", "0.5000", 0.5, 0.4, "nan")}
{final_line(FINAL)}
"""


def found(name: str, log: str = LOG) -> list[str]:
    regex = next(definition["Regex"] for definition in definitions() if definition["Name"] == name)
    return [match.group(1) for line in log.splitlines() if (match := re.search(regex, line))]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("train_loss", ["0.9556", "1e-05"]),
        ("valid_loss", ["0.3929", "inf"]),
        ("error_rate", ["0.1667", "0.5000"]),
        ("balanced_accuracy", ["0.8", "0.5"]),
        ("f1_macro", ["0.7", "0.4"]),
        ("images_per_second", ["34.2", "nan"]),
        ("final_error_rate", ["0.2500"]),
        ("final_balanced_accuracy", ["0.7600"]),
        ("final_f1_macro", ["0.7700"]),
        ("final_valid_loss", ["1.2445"]),
        ("final_training_seconds", ["41.0000"]),
        ("final_serving_error_rate", ["0.2400"]),
        ("final_serving_milliseconds", ["4.5000"]),
        ("final_test_error_rate", ["0.3000"]),
    ],
)
def test_each_definition_finds_its_values_and_no_others(name, values):
    assert found(name) == values


def test_there_is_a_definition_for_every_value_of_an_epochs_line():
    line = next(line for line in LOG.splitlines() if line.startswith("epoch="))
    told = [part.split("=")[0] for part in line.split()]
    assert set(told) - {"epoch", "eta"} == set(EPOCH_METRICS)


def test_a_final_line_without_all_values_is_read_too():
    line = final_line({"error_rate": 0.125})
    assert found("final_error_rate", line) == ["0.1250"]
    assert found("final_test_error_rate", line) == []


def test_sagemaker_takes_the_list():
    # The service's limits on MetricDefinitions.
    assert len(definitions()) <= 40
    for definition in definitions():
        assert set(definition) == {"Name", "Regex"}
        assert len(definition["Name"]) <= 255
        assert len(definition["Regex"]) <= 500


@pytest.mark.parametrize(("arguments", "expected"), [([], definitions()), (["--objective"], objective())])
def test_they_are_printed_as_json(arguments, expected):
    command = [sys.executable, "-m", "fastai_training.metrics", *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert json.loads(result.stdout) == expected


def test_the_objective_is_a_definition_with_a_value_an_epoch():
    (definition,) = objective()["metric_definitions"]
    assert definition in definitions()
    assert definition["Name"] == objective()["objective_metric_name"]
    assert found(definition["Name"]) == ["0.1667", "0.5000"], "the last one is the result; the final line has none"
