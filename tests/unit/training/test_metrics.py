from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

from fastai_training.metrics import EPOCH_METRICS, definitions, final_line, objective

LOG = """training on 48 pictures, validating on 12, 3 classes
epoch 1/3  75% time left 14s
epoch=1 train_loss=0.9556 valid_loss=0.3929 error_rate=0.1667 images_per_second=34.2 eta=4s
epoch=2 train_loss=1e-05 valid_loss=inf error_rate=0.5000 images_per_second=nan eta=12s
final error_rate=0.2500 valid_loss=1.2445 training_seconds=41.0000 serving_error_rate=0.2400 \
serving_milliseconds=4.5000 test_error_rate=0.3000
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
        ("images_per_second", ["34.2", "nan"]),
        ("final_error_rate", ["0.2500"]),
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


def test_the_objective_is_one_of_the_definitions():
    assert objective()["metric_definitions"][0] in definitions()
