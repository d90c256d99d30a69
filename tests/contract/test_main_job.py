"""The main job, end to end: train on the pets in our image, serve it, send a JPEG, get JSON."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import docker
import pytest

from fastai_container.model_folder import load_verified
from tests.contract.conftest import TRAINING_IMAGE, Endpoint, Job
from tests.waiting import PATIENCE

pytestmark = [pytest.mark.engine, pytest.mark.pets]

#: Run in the training image: fastai's own prediction for each picture named on the command line.
LEARNER_PREDICT = """
import json, sys
from fastai.vision.all import load_learner
learner = load_learner("/opt/ml/model/export.pkl")
answers = {}
with learner.no_bar(), learner.no_logging():
    for name in sys.argv[1:]:
        answers[name] = learner.predict(f"/pets/{name}")[0]
print(json.dumps(answers))
"""


def held_out(job: Job) -> list[dict[str, str]]:
    with (job.folder / "output" / "data" / "validation.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_training_without_network_reaches_the_error_asked_for(pets_job: Job):
    model = load_verified(pets_job.model)
    assert len(model.vocab) == 37
    assert model.metrics["error_rate"] < 0.30
    assert pets_job.failure is None


def test_log_has_a_line_for_each_epoch(pets_job: Job):
    lines = [line for line in pets_job.log.splitlines() if line.startswith("epoch=")]
    assert [line.split()[0] for line in lines] == ["epoch=1", "epoch=2", "epoch=3", "epoch=4"]
    for name in ("train_loss", "valid_loss", "error_rate", "images_per_second", "eta"):
        assert all(f" {name}=" in line for line in lines)


def test_the_error_in_model_json_is_that_of_the_held_out_pictures(pets_job: Job):
    rows = held_out(pets_job)
    wrong = sum(row["label"] != row["predicted"] for row in rows) / len(rows)
    assert load_verified(pets_job.model).metrics["error_rate"] == pytest.approx(wrong, abs=1e-6)


def test_a_jpeg_in_json_out(endpoint: Endpoint, pets: Path):
    response = endpoint.invoke((pets / "Bengal_101.jpg").read_bytes())
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    answer = response.json()
    assert answer["class"] == "Bengal"
    assert answer["predictions"][0] == {"class": answer["class"], "confidence": answer["confidence"]}
    assert sum(item["confidence"] for item in answer["predictions"]) == pytest.approx(1, abs=1e-3)


def test_endpoint_gives_the_class_of_learner_predict(
    engine: docker.DockerClient, endpoint: Endpoint, pets_job: Job, pets: Path
):
    names = [row["file"] for row in held_out(pets_job)][:100]
    assert len(names) == 100
    output = engine.containers.run(
        TRAINING_IMAGE,
        ["python3", "-c", LEARNER_PREDICT, *names],
        remove=True,
        network_mode="none",
        volumes={
            str(pets): {"bind": "/pets", "mode": "ro"},
            str(pets_job.model): {"bind": "/opt/ml/model", "mode": "ro"},
        },
    )
    expected = json.loads(output.decode().strip().splitlines()[-1])
    answers = {name: endpoint.invoke((pets / name).read_bytes()).json()["class"] for name in names}
    different = {name: (expected[name], answers[name]) for name in names if expected[name] != answers[name]}
    assert len(different) <= 1, different


def test_endpoint_reaches_the_error_that_training_measured(endpoint: Endpoint, pets_job: Job, pets: Path):
    rows = held_out(pets_job)
    wrong = sum(endpoint.invoke((pets / row["file"]).read_bytes()).json()["class"] != row["label"] for row in rows)
    assert abs(wrong / len(rows) - load_verified(pets_job.model).metrics["error_rate"]) <= 0.02


def test_the_picture_that_is_really_a_gif_is_served_and_was_trained_on(endpoint: Endpoint, pets_job: Job, pets: Path):
    gifs = [path for path in pets.glob("*.jpg") if path.read_bytes()[:3] == b"GIF"]
    assert gifs, "the pets hold a GIF under a .jpg name"
    assert endpoint.invoke(gifs[0].read_bytes()).status_code == 200
    assert (pets_job.folder / "output" / "data" / "skipped.csv").read_text().splitlines() == ["channel,file,reason"]


def test_stopping_the_endpoint_exits_with_zero(start_endpoint, pets_job: Job):
    endpoint = start_endpoint(pets_job.model)
    endpoint.container.stop(timeout=PATIENCE)
    assert endpoint.container.wait()["StatusCode"] == 0


def test_training_image_serves_too(start_endpoint, pets_job: Job, pets: Path):
    endpoint = start_endpoint(pets_job.model, image=TRAINING_IMAGE)
    assert endpoint.invoke((pets / "Bengal_101.jpg").read_bytes()).json()["class"] == "Bengal"
