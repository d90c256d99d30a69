"""Real containers on a real engine: training jobs and endpoints from the images that `make build` made."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
import pytest
import requests
from docker.models.containers import Container

from tests.conftest import ROOT
from tests.engine import SERVING_IMAGE, TRAINING_IMAGE, docker_client
from tests.waiting import PATIENCE

#: How a serving container is run in every test: no rights, nothing to write to but /tmp.
CLOSED = {
    "read_only": True,
    "tmpfs": {"/tmp": ""},
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges"],
}


@pytest.fixture(scope="session")
def engine() -> docker.DockerClient:
    return docker_client(TRAINING_IMAGE, SERVING_IMAGE)


@dataclass
class Job:
    """A finished training container. ``folder`` stood for /opt/ml."""

    folder: Path
    exit_code: int
    log: str

    @property
    def model(self) -> Path:
        return self.folder / "model"

    @property
    def failure(self) -> str | None:
        path = self.folder / "output" / "failure"
        return path.read_text(encoding="utf-8") if path.exists() else None


@dataclass
class TrainingContainer:
    """A running training container; ``wait`` gives the Job."""

    container: Container
    folder: Path

    def wait(self, timeout: float = 900) -> Job:
        code = self.container.wait(timeout=timeout)["StatusCode"]
        log = self.container.logs().decode(errors="replace")
        self.container.remove(force=True)
        return Job(self.folder, code, log)


def start_training(
    client: docker.DockerClient,
    folder: Path,
    channels: Mapping[str, Path],
    hyperparameters: Mapping[str, str] | None = None,
    *,
    command: str | list[str] = "train",
    environment: Mapping[str, str] | None = None,
    **options: Any,
) -> TrainingContainer:
    """Start ``train`` as SageMaker does, ``folder`` standing for /opt/ml; no network unless ``options`` say so."""
    config = folder / "input" / "config"
    for path in (config, folder / "model", folder / "output" / "data", folder / "checkpoints"):
        path.mkdir(parents=True, exist_ok=True)
    (config / "hyperparameters.json").write_text(json.dumps(dict(hyperparameters or {})))
    (config / "inputdataconfig.json").write_text(json.dumps({name: {"TrainingInputMode": "File"} for name in channels}))
    if not (config / "resourceconfig.json").exists():
        hosts = {"current_host": "algo-1", "hosts": ["algo-1"], "network_interface_name": "eth0"}
        (config / "resourceconfig.json").write_text(json.dumps(hosts))
    volumes = {
        str(config): {"bind": "/opt/ml/input/config", "mode": "ro"},
        str(folder / "model"): {"bind": "/opt/ml/model", "mode": "rw"},
        str(folder / "output"): {"bind": "/opt/ml/output", "mode": "rw"},
        str(folder / "checkpoints"): {"bind": "/opt/ml/checkpoints", "mode": "rw"},
    }
    for name, path in channels.items():
        volumes[str(path)] = {"bind": f"/opt/ml/input/data/{name}", "mode": "ro"}
    volumes |= options.pop("volumes", {})
    container = client.containers.run(
        TRAINING_IMAGE,
        command,
        detach=True,
        volumes=volumes,
        environment=dict(environment or {}),
        labels={"fastai-sagemaker.test": "1"},
        **({"network_mode": "none", "shm_size": "1g"} | options),
    )
    return TrainingContainer(container, folder)


@pytest.fixture(scope="session")
def train(engine: docker.DockerClient) -> Callable[..., Job]:
    """``train(folder, channels, hyperparameters, **options)`` runs a training job to its end."""

    def run(
        folder: Path, channels: Mapping[str, Path], hyperparameters: Mapping[str, str] | None = None, **options: Any
    ) -> Job:
        return start_training(engine, folder, channels, hyperparameters, **options).wait()

    return run


@pytest.fixture(scope="session")
def pets_job(engine: docker.DockerClient, train: Callable[..., Job], pets: Path) -> Job:
    """The main job: EfficientNet-Lite0 on the pets, three epochs, no network. Kept below build/ for one image."""
    parameters = {"arch": "efficientnet_lite0", "epochs": "3"}
    key = hashlib.sha256(repr((engine.images.get(TRAINING_IMAGE).id, parameters, str(pets))).encode()).hexdigest()[:16]
    folder = ROOT / "build" / "test-jobs" / key
    done = folder / "job.json"
    if done.exists():
        facts = json.loads(done.read_text())
        return Job(folder, facts["exit_code"], facts["log"])
    shutil.rmtree(folder, ignore_errors=True)
    job = train(folder, {"training": pets}, parameters)
    assert job.exit_code == 0, job.log
    done.write_text(json.dumps({"exit_code": job.exit_code, "log": job.log}))
    return job


@dataclass
class Endpoint:
    """A serving container; ``url`` is where its port 8080 is published."""

    container: Container
    url: str
    session: requests.Session = field(default_factory=requests.Session)

    def ping(self) -> int:
        """The status of /ping, 0 when nothing answers."""
        try:
            return self.session.get(f"{self.url}/ping", timeout=PATIENCE).status_code
        except requests.RequestException:
            return 0

    def wait_until_ready(self, timeout: float = PATIENCE) -> Endpoint:
        deadline = time.monotonic() + timeout
        while self.ping() != 200:
            self.container.reload()
            assert self.container.status in ("created", "running"), self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.1)
        return self

    def invoke(self, body: bytes, content_type: str = "image/jpeg", **headers: str) -> requests.Response:
        sent = {"Content-Type": content_type} | {name.replace("_", "-"): value for name, value in headers.items()}
        return self.session.post(f"{self.url}/invocations", data=body, headers=sent, timeout=PATIENCE)

    def log(self) -> str:
        return self.container.logs().decode(errors="replace")


#: Serving containers that are still there, in the order of their start.
_started: list[Container] = []


@pytest.fixture(autouse=True)
def _end_this_tests_endpoints() -> Iterator[None]:
    """Containers that a test itself starts end with it; those of wider fixtures were started before this one."""
    before = len(_started)
    yield
    while len(_started) > before:
        _started.pop().remove(force=True)


@pytest.fixture(scope="session")
def start_endpoint(engine: docker.DockerClient) -> Iterator[Callable[..., Endpoint]]:
    """``start_endpoint(model, **options)`` starts a closed serving container; all are removed at the end."""

    def start(
        model: Path | None,
        *,
        image: str = SERVING_IMAGE,
        environment: Mapping[str, str] | None = None,
        volumes: Mapping[str, Any] | None = None,
        wait: bool = True,
        **options: Any,
    ) -> Endpoint:
        mounts = dict(volumes or {})
        if model is not None:
            mounts[str(model)] = {"bind": "/opt/ml/model", "mode": "ro"}
        container = engine.containers.run(
            image,
            "serve",
            name=f"fastai-sagemaker-test-{uuid.uuid4().hex[:8]}",
            detach=True,
            volumes=mounts,
            environment=dict(environment or {}),
            ports={"8080/tcp": ("127.0.0.1", None)},
            labels={"fastai-sagemaker.test": "1"},
            **(CLOSED | options),
        )
        _started.append(container)
        container.reload()
        bindings = container.attrs["NetworkSettings"]["Ports"].get("8080/tcp") or [{"HostPort": "0"}]
        endpoint = Endpoint(container, f"http://127.0.0.1:{bindings[0]['HostPort']}")
        return endpoint.wait_until_ready() if wait else endpoint

    yield start
    while _started:
        _started.pop().remove(force=True)


@pytest.fixture(scope="session")
def endpoint(start_endpoint: Callable[..., Endpoint], pets_job: Job) -> Endpoint:
    """The main job's model behind a ready endpoint."""
    return start_endpoint(pets_job.model)


@pytest.fixture
def sagemaker_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder to stand for /opt/ml; what a container's root wrote there is removed too."""
    yield tmp_path
    if os.getuid() == 0:
        shutil.rmtree(tmp_path, ignore_errors=True)
