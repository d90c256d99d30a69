"""The make targets as a user types them, through Docker and as plain processes."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import ROOT

#: Trains in seconds: what is tested here is the way there and back.
TINY = "arch=resnet18 pretrained=false epochs=1 image-size=32 batch_size=8"


def free_port() -> int:
    """A port below those that the kernel gives to clients (multi-model-server takes none above 32766)."""
    for port in range(18000, 19000):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port
    raise AssertionError("no free port")


def make(*arguments: str, timeout: float = 600) -> subprocess.CompletedProcess[str]:
    ours = {"MAKEFLAGS", "MAKELEVEL", "MFLAGS", "MAKEOVERRIDES", "RUNTIME", "DATA", "ARGS"}
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    return subprocess.run(
        ["make", "--no-print-directory", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


@pytest.fixture(params=["docker", "native"])
def runtime(request: pytest.FixtureRequest) -> str:
    if request.param == "docker":
        request.getfixturevalue("engine")
    elif not (ROOT / "build" / "venv").is_dir():
        pytest.skip("no build/venv; `make build RUNTIME=native` makes it")
    return request.param


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # A space and a quote: names that a careless command line would break on.
    folder = tmp_path_factory.mktemp("data") / "my 'own' pictures"
    folder.mkdir()
    for number in range(12):
        Image.new("RGB", (40, 40), (200, 10 * number, 30)).save(folder / f"red_{number}.jpg")
        Image.new("RGB", (40, 40), (30, 10 * number, 200)).save(folder / f"blue_{number}.jpg")
    return folder


@pytest.fixture
def port() -> Iterator[int]:
    yield free_port()
    make("stop")


def test_train_serve_predict_stop(runtime: str, pictures: Path, tmp_path: Path, port: int):
    out = tmp_path / "job"
    trained = make("train", f"RUNTIME={runtime}", f"DATA={pictures}", f"OUT={out}", f"HP={TINY}", "NETWORK=none")
    assert trained.returncode == 0, trained.stdout + trained.stderr
    assert (out / "model" / "model.json").is_file()
    served = make("serve", f"RUNTIME={runtime}", f"MODEL={out / 'model'}", f"PORT={port}")
    assert served.returncode == 0, served.stdout + served.stderr
    answer = make("predict", f"IMAGE={pictures / 'red_1.jpg'}", f"PORT={port}")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert json.loads(answer.stdout.strip().splitlines()[-1])["class"] in ("red", "blue")
    assert make("stop").returncode == 0
    gone = make("predict", f"IMAGE={pictures / 'red_1.jpg'}", f"PORT={port}")
    assert gone.returncode != 0
    assert "make serve" in gone.stderr


def test_a_failing_job_says_why_last(runtime: str, pictures: Path, tmp_path: Path):
    job = make("train", f"RUNTIME={runtime}", f"DATA={pictures}", f"OUT={tmp_path / 'job'}", "HP=epoch=3")
    assert job.returncode != 0
    assert "did you mean epochs?" in job.stderr + job.stdout
    assert "Traceback" not in job.stderr + job.stdout
