"""The metric definitions find every epoch's values in the main job's log."""

from __future__ import annotations

import csv
import json
import re

import docker
import pytest

from fastai_training.metrics import EPOCH_METRICS
from tests.contract.conftest import TRAINING_IMAGE, Job

pytestmark = [pytest.mark.engine, pytest.mark.pets]


@pytest.fixture(scope="module")
def definitions(engine: docker.DockerClient) -> dict[str, str]:
    """As the image prints them."""
    command = ["python3", "-m", "fastai_training.metrics"]
    output = engine.containers.run(TRAINING_IMAGE, command, remove=True, network_mode="none")
    return {definition["Name"]: definition["Regex"] for definition in json.loads(output)}


def found(regex: str, log: str) -> list[float]:
    return [float(match.group(1)) for line in log.splitlines() if (match := re.search(regex, line))]


@pytest.mark.parametrize("name", EPOCH_METRICS)
def test_every_epochs_value_is_found(definitions, pets_job: Job, name: str):
    with (pets_job.folder / "output" / "data" / "history.csv").open(newline="") as file:
        expected = [float(row[name]) for row in csv.DictReader(file)]
    assert len(expected) == 4
    assert found(definitions[name], pets_job.log) == pytest.approx(expected, abs=0.051)


def test_the_runs_last_values_are_found_once(definitions, pets_job: Job):
    summary = json.loads((pets_job.folder / "output" / "data" / "summary.json").read_text())
    program = summary["program"]
    served = program["scores"][program["precision"]]
    expected = {
        "final_error_rate": summary["metrics"]["error_rate"],
        "final_balanced_accuracy": summary["metrics"]["balanced_accuracy"],
        "final_f1_macro": summary["metrics"]["f1_macro"],
        "final_valid_loss": summary["metrics"]["valid_loss"],
        "final_training_seconds": summary["training_seconds"],
        "final_serving_error_rate": served["error_rate"],
        "final_serving_milliseconds": served["milliseconds"],
    }
    for name, value in expected.items():
        assert found(definitions[name], pets_job.log) == [pytest.approx(value, abs=0.051)], name


def test_the_objective_is_printed_for_a_tuner(engine: docker.DockerClient, pets_job: Job):
    command = ["python3", "-m", "fastai_training.metrics", "--objective"]
    output = json.loads(engine.containers.run(TRAINING_IMAGE, command, remove=True, network_mode="none"))
    assert output["objective_type"] == "Minimize"
    (definition,) = output["metric_definitions"]
    assert definition["Name"] == output["objective_metric_name"]
    assert len(found(definition["Regex"], pets_job.log)) == 4, "one an epoch: a tuner can stop a job that falls behind"


def test_the_served_program_is_within_half_a_point_of_fp32(pets_job: Job):
    program = json.loads((pets_job.model / "model.json").read_text())["program"]
    scores = program["scores"]
    chosen = scores[program["precision"]]
    assert {"fp32", "int8"} <= set(scores)
    assert chosen["error_rate"] <= scores["fp32"]["error_rate"] + 0.005 + 1e-9
    assert chosen["agreement"] >= 0.99
    assert chosen["milliseconds"] <= scores["fp32"]["milliseconds"]
    assert program["inference_precision_hint"] == chosen["hint"]
