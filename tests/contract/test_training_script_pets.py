"""examples/pets.py, the script that users copy: run by script mode on the pets, then served by the serving image."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import docker
import pytest

from fastai_container.model_folder import load_verified
from tests.conftest import ROOT
from tests.contract.conftest import TRAINING_IMAGE, Endpoint, Job

pytestmark = [pytest.mark.engine, pytest.mark.pets]

BREEDS = ("Bengal", "american_bulldog", "Abyssinian")
#: Run in the training image: pets.py's own functions on a JPEG, as a script-mode server calls them.
SERVE = """
import sys; sys.path.insert(0, "/opt/ml/code")
import pets
model = pets.model_fn("/opt/ml/model")
picture = pets.input_fn(open("/pets/Bengal_101.jpg", "rb").read(), "image/jpeg")
print(pets.output_fn(pets.predict_fn(picture, model), "application/json"))
try:
    pets.input_fn(b"{}", "application/json")
except ValueError as error:
    print(error)
"""


@pytest.fixture(scope="module")
def pets_script_job(train: Callable[..., Job], pets: Path, tmp_path_factory: pytest.TempPathFactory) -> Job:
    folder = tmp_path_factory.mktemp("pets-script")
    (folder / "code").mkdir()
    shutil.copy(ROOT / "examples" / "pets.py", folder / "code")
    pictures = folder / "pictures" / "images"
    pictures.mkdir(parents=True)
    for breed in BREEDS:
        for path in sorted(pets.glob(f"{breed}_*.jpg"))[:28]:
            shutil.copy(path, pictures)
    parameters = {"epochs": "1", "unfrozen-epochs": "1", "batch-size": "16", "image-size": "96", "lr": "0.01"}
    parameters |= {"model-arch": json.dumps("efficientnet_lite0"), "sagemaker_program": "pets.py"}
    return train(
        folder,
        {"training": pictures.parent, "code": folder / "code"},
        parameters | {"sagemaker_submit_directory": "/opt/ml/input/data/code"},
        # Too little for any worker of the data loader: a job must not die of that. The SDK's local mode gives 64 MB.
        shm_size="1m",
    )


def test_the_script_trains_without_network(pets_script_job: Job):
    assert pets_script_job.exit_code == 0, pets_script_job.log
    assert pets_script_job.failure is None
    assert (pets_script_job.folder / "output" / "success").exists()
    model = load_verified(pets_script_job.model)
    assert sorted(model.vocab) == sorted(BREEDS)
    assert model.image_size == 96
    assert model.metrics["error_rate"] < 0.5, pets_script_job.log
    assert "running pets.py with the hyperparameters" in pets_script_job.log
    assert "enough for 0 of the" in pets_script_job.log


def test_its_own_functions_serve_it(pets_script_job: Job, engine: docker.DockerClient, pets: Path):
    volumes = {
        str(pets_script_job.model): {"bind": "/opt/ml/model", "mode": "ro"},
        str(ROOT / "examples"): {"bind": "/opt/ml/code", "mode": "ro"},
        str(pets): {"bind": "/pets", "mode": "ro"},
    }
    output = engine.containers.run(
        TRAINING_IMAGE, ["python3", "-c", SERVE], volumes=volumes, network_mode="none", remove=True
    )
    answer, refusal = output.decode().strip().splitlines()[-2:]
    assert json.loads(answer)["class"] in BREEDS
    assert refusal == "application/json is not supported: send a picture as image/jpeg"


def test_the_serving_image_serves_it(pets_script_job: Job, start_endpoint: Callable[..., Endpoint], pets: Path):
    endpoint = start_endpoint(pets_script_job.model)
    right = 0
    for breed in BREEDS:
        response = endpoint.invoke((sorted(pets.glob(f"{breed}_*.jpg"))[-1]).read_bytes())
        assert response.status_code == 200
        right += response.json()["class"] == breed
    assert right >= 2
