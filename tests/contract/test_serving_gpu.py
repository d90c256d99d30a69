"""The program for GPUs that training leaves, run by serving's code for GPUs; on the CPU, for want of a GPU."""

from __future__ import annotations

import json
from pathlib import Path

import docker
import pytest

from tests.contract.conftest import TRAINING_IMAGE, Job
from tests.contract.serving import some_pictures

pytestmark = [pytest.mark.engine, pytest.mark.pets]

COMPARE = """
import json, sys
from pathlib import Path
import numpy as np
from fastai_container.model_folder import load_model
from fastai_container.pictures import model_input
from fastai_serving.runtime import CpuRuntime, TorchRuntime
folder = Path("/opt/ml/model")
model = load_model(folder)
pictures = np.stack([model_input(Path("/pets", name), model.image_size) for name in sys.argv[1:]])
openvino = CpuRuntime(folder, 2).predict(pictures)
torch = TorchRuntime(folder, "cpu", 2).predict(pictures)
half = TorchRuntime(folder, "cpu", 2, half=True).predict(pictures)
print(json.dumps([float(abs(torch - openvino).max()), float(abs(half - torch).mean()),
                  int((torch.argmax(1) != openvino.argmax(1)).sum()), len(torch)]))
"""


def test_the_two_programs_of_a_model_agree(engine: docker.DockerClient, pets_job: Job, pets: Path):
    volumes = {str(pets): {"bind": "/pets", "mode": "ro"}, str(pets_job.model): {"bind": "/opt/ml/model", "mode": "ro"}}
    output = engine.containers.run(
        TRAINING_IMAGE,
        ["python3", "-W", "ignore", "-c", COMPARE, *some_pictures(pets)],
        remove=True,
        network_mode="none",
        volumes=volumes,
    )
    largest, half, different, count = json.loads(output.decode().strip().splitlines()[-1])
    assert count == 24
    assert different == 0
    assert largest < 0.02
    assert half < 0.02
