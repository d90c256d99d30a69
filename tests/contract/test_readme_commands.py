"""The README's shell commands, typed one after the other in a fresh clone."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from tests.conftest import ROOT
from tests.readme import commands
from tests.waiting import PATIENCE

pytestmark = [pytest.mark.engine, pytest.mark.pets]

#: What `make serve` and `make demo` call their containers.
ENDPOINT = "fastai-sagemaker-serving-"
BREEDS = ("Bengal", "pug", "shiba_inu")


def git(*arguments: str | Path) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def clone(tmp_path: Path, pets: Path) -> Path:
    """A clone with what is not committed yet on top, and the pictures that the README's commands name."""
    folder = tmp_path / "fresh clone"
    git("clone", "--quiet", ROOT, folder)
    for name in git("ls-files", "--modified", "--others", "--exclude-standard", "-z").split("\0"):
        if name and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    for wheel in (ROOT / "docker" / "wheelhouse").glob("*.whl"):
        shutil.copy2(wheel, folder / "docker" / "wheelhouse")  # not downloaded twice
    # the images of a tree with other files than the commit's say so, and would be other images
    (folder / ".git" / "info" / "exclude").write_text("/path/\n")
    pictures = folder / "path" / "to" / "pictures"
    pictures.mkdir(parents=True)
    for breed in BREEDS:
        for path in sorted(pets.glob(f"{breed}_*.jpg"))[:10]:
            shutil.copy2(path, pictures)
    (pictures.parent / "a").mkdir()
    shutil.copy2(next(iter(sorted(pets.glob("Bengal_*.jpg")))), pictures.parent / "a" / "picture.jpg")
    return folder


@pytest.fixture
def port_8080(engine: docker.DockerClient) -> Iterator[None]:
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", 8080)) != 0, "the README's commands use port 8080, which is taken"
    yield
    for container in engine.containers.list(all=True, filters={"name": "^pets$"}, ignore_removed=True):
        container.remove(force=True)


def containers(engine: docker.DockerClient) -> list[str]:
    return [container.name for container in engine.containers.list(all=True, ignore_removed=True)]


def test_every_command_works_as_typed(engine: docker.DockerClient, clone: Path, port_8080: None, tmp_path: Path):
    # A user's own environment: none of the variables that steer the tests.
    environment = {name: os.environ[name] for name in os.environ if name in ("PATH", "DOCKER_HOST") or "PIP" in name}
    environment |= {"HOME": str(tmp_path)}
    answers = {}
    for command in commands():
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=clone,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        # `make doctor` fails where something that it names is missing, which a test machine may lack
        assert done.returncode == 0 or command.startswith("make doctor"), f"{command}\n{done.stdout}{done.stderr}"
        answers[command.partition(" ")[0] + " " + command.split()[1] if " " in command else command] = done.stdout
    demo = json.loads(answers["make demo"].strip().splitlines()[-1])
    assert demo["class"].startswith("digit_")
    assert 0 < demo["confidence"] <= 1
    deadline = time.monotonic() + PATIENCE  # the engine removes a container of `run --rm` after `stop` has returned
    while left := [name for name in containers(engine) if name == "pets" or name.startswith(ENDPOINT)]:
        assert time.monotonic() < deadline, f"left there: {left}"
        time.sleep(0.2)
    assert {"predict", "local-mode", "push"} <= set(answers["make #"].replace("make ", " ").split())
    for name in ("make predict", "curl -sS"):
        answer = json.loads(answers[name].strip().splitlines()[-1])
        assert answer["class"] in BREEDS
        assert {prediction["class"] for prediction in answer["predictions"]} == set(BREEDS)
