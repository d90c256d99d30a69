"""The package ``fastai_sagemaker`` in the images: docs/python.md's script is trained in one, served by the other."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import docker
import pytest

from tests.contract.conftest import SERVING_IMAGE, Endpoint, Job
from tests.contract.test_training_job import write_code
from tests.documented import SCRIPT, write_pictures

pytestmark = pytest.mark.engine

#: Run in the serving image, which has neither fastai nor torch.
WITHOUT_TORCH = """
import importlib.util, json
import fastai_sagemaker
manifest = fastai_sagemaker.load_manifest("/opt/ml/model")
found = fastai_sagemaker.predict("/opt/ml/model", ["/pictures/dark/7.png", "/pictures/light/7.png"])
try:
    fastai_sagemaker.export_model(None, "/tmp/model")
except fastai_sagemaker.TrainingNeededError as error:
    torch = importlib.util.find_spec("torch") is not None
    print(json.dumps([manifest.arch, [one.label for one in found], str(error), torch]))
"""


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="module")
def documented_job(train: Callable[..., Job], pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Job:
    folder = tmp_path_factory.mktemp("documented")
    code = write_code(folder, train_py=SCRIPT)
    parameters = {"sagemaker_program": "train.py", "sagemaker_submit_directory": "/opt/ml/input/data/code"}
    return train(folder, {"training": pictures, "code": code}, parameters)


def test_the_documented_script_trains(documented_job: Job):
    assert documented_job.exit_code == 0, documented_job.log
    manifest = json.loads((documented_job.model / "model.json").read_text(encoding="utf-8"))
    assert (manifest["arch"], manifest["vocab"], manifest["image_size"]) == ("resnet18", ["dark", "light"], 96)
    assert manifest["metrics"]["error_rate"] <= 0.1, documented_job.log


def test_the_serving_image_serves_it(documented_job: Job, start_endpoint: Callable[..., Endpoint], pictures: Path):
    endpoint = start_endpoint(documented_job.model)
    for name in ("dark", "light"):
        response = endpoint.invoke((pictures / name / "3.png").read_bytes(), "image/png")
        assert (response.status_code, response.json()["class"]) == (200, name)


def test_the_serving_image_has_the_package_without_torch(
    documented_job: Job, engine: docker.DockerClient, pictures: Path
):
    volumes = {
        str(documented_job.model): {"bind": "/opt/ml/model", "mode": "ro"},
        str(pictures): {"bind": "/pictures", "mode": "ro"},
    }
    output = engine.containers.run(
        SERVING_IMAGE,
        ["python3", "-c", WITHOUT_TORCH],
        volumes=volumes,
        network_mode="none",
        remove=True,
        user=f"{os.getuid()}:{os.getgid()}",  # pytest's folders are nobody else's to read
    )
    arch, labels, refusal, torch = json.loads(output.decode().strip().splitlines()[-1])
    assert (arch, labels, torch) == ("resnet18", ["dark", "light"], False)
    assert "export_model needs fastai_training, fastai and torch" in refusal
    assert "call it in the training image" in refusal
