"""The SageMaker Python SDK's local mode on our images. Versions 2 and 3 can't share an environment, so each has its own
below build/, and the tests run programs in it."""

from __future__ import annotations

import ipaddress
import json
import os
import re
import shutil
import socket
import subprocess
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.models.containers import Container

from fastai_local.commands.local_mode import COMPOSE_FOLDER
from fastai_local.native import ensure_side_environment
from fastai_local.settings import Settings
from tests.aws import FakeAws
from tests.conftest import ROOT, missing
from tests.engine import SERVING_IMAGE, TRAINING_IMAGE, docker_client

BREEDS = ("Abyssinian", "beagle", "shiba_inu")
#: A job of seconds.
SMALL = {
    "arch": "efficientnet_lite0",
    "epochs": "1",
    "freeze_epochs": "0",
    "image_size": "64",
    "batch_size": "8",
    "serving_precision": "fp32",
}


@pytest.fixture(scope="session")
def sdk2_python() -> Path:
    """The Python of an environment with version 2 of the SDK and what the notebook needs."""
    return ensure_side_environment(Settings(), "sdk2", ROOT / "examples" / "requirements-sdk2.txt")


@pytest.fixture(scope="session")
def sdk3_python() -> Path:
    """The Python of an environment with version 3 of the SDK."""
    return ensure_side_environment(Settings(), "sdk3", ROOT / "examples" / "requirements-sdk3.txt")


@pytest.fixture(scope="session")
def engine() -> docker.DockerClient:
    """A Docker engine with both images, and Docker Compose as the SDKs want it."""
    client = docker_client(TRAINING_IMAGE, SERVING_IMAGE)
    plugin = subprocess.run(["docker", "compose", "version"], capture_output=True, text=True, check=False)
    if not (plugin.returncode == 0 and "v2" in plugin.stdout) and not shutil.which("docker-compose"):
        missing("local mode needs Docker Compose 2; `make engine` installs it", "REQUIRE_ENGINE")
    return client


@pytest.fixture(scope="session")
def few_pets(pets: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten pictures of each of three breeds."""
    folder = tmp_path_factory.mktemp("few-pets")
    breeds = defaultdict(list)
    for path in sorted(pets.glob("*.jpg")):
        breeds[re.sub(r"_\d+\.jpg$", "", path.name)].append(path)
    for breed in BREEDS:
        for path in breeds[breed][:10]:
            shutil.copy(path, folder)
    folder.chmod(0o755)
    return folder


@pytest.fixture(scope="session")
def five_pictures(few_pets: Path) -> list[Path]:
    return sorted(few_pets.glob("*.jpg"))[::6]


@pytest.fixture(scope="session")
def gateway(engine: docker.DockerClient) -> str:
    """This machine's address as containers see it; an engine that was just installed doesn't say it."""
    config = engine.networks.get("bridge").attrs["IPAM"]["Config"][0]
    return str(config.get("Gateway") or next(ipaddress.ip_network(config["Subnet"]).hosts()))


@dataclass(frozen=True)
class Run:
    """A finished program: what it wrote, and the folder for its temporary files (where local mode leaves models)."""

    code: int
    log: str
    folder: Path

    @property
    def result(self) -> Any:
        """The JSON of its last line."""
        return json.loads(self.log.strip().splitlines()[-1])

    def answers(self) -> list[tuple[str, str, float]]:
        """The name, class and confidence (percent) of each picture that an example sent. Not line by line: Compose
        writes to the same pipe, and may do so before the end of a line."""
        found = re.findall(r"== (\S+\.jpg): (\S+) ([\d.]+)% \(\d+ ms\)", self.log)
        return [(name, label, float(confidence)) for name, label, confidence in found]

    def model(self) -> str:
        """Where the example's model is, as the SDK said."""
        (found,) = re.findall(r"== the model is (\S+?\.tar\.gz)", self.log)
        return found


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])


@dataclass(frozen=True)
class LocalMode:
    """Runs programs that use an SDK, in an environment without AWS, and knows what they leave."""

    engine: docker.DockerClient
    aws: Mapping[str, str]
    make_folder: Callable[[str], Path]
    folders: list[Path]

    def run(self, python: Path, program: Path, *arguments: str, timeout: float = 800) -> Run:
        folder = self.make_folder(program.stem)
        self.folders.append(folder)
        env = {name: os.environ[name] for name in ("PATH", "HOME", "DOCKER_HOST") if name in os.environ}
        env |= {**self.aws, "TMPDIR": str(folder), "SAGEMAKER_SUPPRESS_V2_WARNING": "1", "PYTHONUNBUFFERED": "1"}
        done = subprocess.run(
            [str(python), str(program), *arguments],
            cwd=folder,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )
        return Run(done.returncode, done.stdout, folder)

    def story(self, python: Path, stories: Path, name: str, **given: Any) -> Run:
        """Runs one function of a file of stories; it must end well."""
        given |= {
            "port": free_port(),
            "training_image": TRAINING_IMAGE,
            "serving_image": SERVING_IMAGE,
        }
        run = self.run(python, stories, name, json.dumps(given, default=str))
        assert run.code == 0, run.log
        return run

    def containers(self, *, stopped: bool = False) -> list[Container]:
        """Containers of these tests that run, or are there at all: their compose files lie in our folders."""
        return [
            one
            for one in self.engine.containers.list(all=stopped, ignore_removed=True)
            if any(Path(one.labels.get(COMPOSE_FOLDER, "/")).is_relative_to(folder) for folder in self.folders)
        ]


@pytest.fixture(scope="session")
def local_mode(
    engine: docker.DockerClient, fake_aws: FakeAws, gateway: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalMode]:
    """Local mode with moto's server as AWS. What the SDKs leave is removed at the end."""
    networks = {network.name for network in engine.networks.list()}
    # The SDKs give their S3 address to the containers, so it must be one that both sides reach.
    aws = fake_aws.environment(AWS_ENDPOINT_URL_S3=f"http://{gateway}:{fake_aws.port}")
    mode = LocalMode(engine, aws, tmp_path_factory.mktemp, folders=[])
    yield mode
    for container in mode.containers(stopped=True):
        container.remove(force=True)
    if "sagemaker-local" not in networks:
        for network in engine.networks.list(names=["sagemaker-local"]):
            network.reload()
            if not network.containers:
                network.remove()
    for folder in mode.folders:
        shutil.rmtree(folder, ignore_errors=True)
        if folder.exists():  # not root, and a container's root wrote there
            mount = {str(folder): {"bind": "/delete", "mode": "rw"}}
            chmod = ["chmod", "-R", "a+rwX", "/delete"]
            engine.containers.run(TRAINING_IMAGE, chmod, volumes=mount, remove=True, network_mode="none")
            shutil.rmtree(folder)
