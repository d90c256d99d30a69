"""The compiled model for GPUs that training leaves, run by serving's code for GPUs; on the CPU, for want of a GPU."""

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
import torch
from fastai.vision.all import load_learner
from fastai_container.model_folder import load_verified
from fastai_container.pictures import model_input
from fastai_serving.worker.backends import OpenVinoBackend, TorchExportBackend
folder = Path("/opt/ml/model")
model = load_verified(folder)
pictures = np.stack([model_input(Path("/pets", name), model.image_size) for name in sys.argv[1:]])
learner = load_learner(folder / "export.pkl", cpu=True)
with torch.no_grad():
    batch = torch.tensor(pictures).permute(0, 3, 1, 2) / 255
    batch = (batch - torch.tensor(model.mean).view(1, 3, 1, 1)) / torch.tensor(model.std).view(1, 3, 1, 1)
    network = learner.model.eval()(batch).softmax(1).numpy()
openvino = OpenVinoBackend(folder, 2, model.program["inference_precision_hint"]).predict(pictures)
whole = TorchExportBackend(folder, "cpu", 2).predict(pictures)
half = TorchExportBackend(folder, "cpu", 2, half=True).predict(pictures)
print(json.dumps([float(abs(whole - network).max()), float(abs(half - whole).mean()),
                  int((whole.argmax(1) != openvino.argmax(1)).sum()), len(whole)]))
"""


def test_the_program_for_gpus_is_the_network_that_was_trained(engine: docker.DockerClient, pets_job: Job, pets: Path):
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
    assert largest < 0.001
    # The compiled model for CPUs may be a quantized one: it gives the same classes.
    assert different == 0
    assert half < 0.02
