"""A real registry that asks for a password, moto's server for ECR's own API, and a checkout that builds in a second."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import bcrypt
import docker
import pytest

from fastai_local.settings import VERSION_FILE
from tests.aws import ACCOUNT, FakeAws
from tests.conftest import ROOT, missing
from tests.engine import docker_client
from tests.waiting import PATIENCE

GIT = ("git", "-c", "user.name=test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false")
#: What moto gives as ECR's password (tests ask for it through the API, the registry has to know it beforehand).
PASSWORD = f"{ACCOUNT}-auth-token"
# Images of a second, with the labels of ours; the flow of a push is the same for them.
DOCKERFILE = """\
ARG BASE_IMAGE
FROM scratch AS training
COPY content /content
CMD ["/content"]
ARG REVISION
LABEL org.opencontainers.image.revision="${REVISION}"
FROM %s AS serving
COPY content /content
CMD ["serve"]
ARG REVISION
LABEL org.opencontainers.image.revision="${REVISION}"
"""


@dataclass
class RunningRegistry:
    """A registry at ``address``; ``log`` is where it writes what it was asked."""

    address: str
    log: Path

    def writes(self) -> list[str]:
        """Every request so far that changed something, as in `PUT /v2/…`."""
        lines = self.log.read_text(errors="replace").splitlines()
        found = []
        for line in lines:
            _, quote, rest = line.partition('"')
            request = rest.partition('"')[0]
            if quote and request.startswith(("PUT /v2/", "POST /v2/", "PATCH /v2/", "DELETE /v2/")):
                found.append(request.removesuffix(" HTTP/1.1"))
        return found


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def running_registry(folder: Path, password: str = PASSWORD, **settings: str) -> Iterator[RunningRegistry]:
    """Debian's docker-registry as a plain process; ``settings`` are its REGISTRY_* variables."""
    program = shutil.which("docker-registry")
    if program is None:
        missing(
            "there is no docker-registry; on Debian or Ubuntu: sudo apt-get install docker-registry", "REQUIRE_ENGINE"
        )
    folder.mkdir(parents=True, exist_ok=True)
    hashed = bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()
    (folder / "htpasswd").write_text(f"AWS:{hashed}\n")
    (folder / "config.yml").write_text("version: 0.1\n")
    address = f"127.0.0.1:{_free_port()}"
    env = {
        "REGISTRY_HTTP_ADDR": address,
        "REGISTRY_HTTP_SECRET": "test",
        "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY": str(folder / "data"),
        "REGISTRY_AUTH_HTPASSWD_REALM": "test",
        "REGISTRY_AUTH_HTPASSWD_PATH": str(folder / "htpasswd"),
    }
    log = folder / "log"
    with log.open("w") as output:
        command = [str(program), "serve", str(folder / "config.yml")]
        process = subprocess.Popen(command, env=os.environ | env | settings, stdout=output, stderr=output)
        try:
            deadline = time.monotonic() + PATIENCE
            while not _answers(address):
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.05)
            yield RunningRegistry(address, log)
        finally:
            process.terminate()
            process.wait(timeout=PATIENCE)


def _answers(address: str) -> bool:
    try:
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"http://{address}/v2/", timeout=PATIENCE)
    except urllib.error.HTTPError as error:
        return error.code == 401
    except OSError:
        return False
    return True


@pytest.fixture(scope="session")
def engine() -> docker.DockerClient:
    return docker_client()


@pytest.fixture
def registry(tmp_path: Path, engine: docker.DockerClient) -> Iterator[RunningRegistry]:
    with running_registry(tmp_path / "registry") as running:
        yield running
        for image in engine.images.list():
            for name in (*image.tags, *image.attrs["RepoDigests"]):
                if name.startswith(running.address):
                    # with its last tag an image loses its digests too
                    with suppress(docker.errors.ImageNotFound):
                        engine.images.remove(name, force=True)


@dataclass
class Checkout:
    """A git checkout with build_and_push.sh as it is here, and a Dockerfile of its own."""

    folder: Path
    environment: Mapping[str, str]
    images_before: set[str] = field(default_factory=set)

    @property
    def commit(self) -> str:
        return self.git("rev-parse", "HEAD").strip()

    def git(self, *arguments: str) -> str:
        return subprocess.run([*GIT, *arguments], cwd=self.folder, check=True, capture_output=True, text=True).stdout

    def change(self, content: str, *, commit: bool = True) -> None:
        (self.folder / "content").write_text(content)
        if commit:
            self.git("commit", "--quiet", "--all", "--message", content)

    def push(self, *arguments: str, without: tuple[str, ...] = (), **environment: str) -> subprocess.CompletedProcess:
        env = {**self.environment, **environment}
        for name in without:
            env.pop(name, None)
        done = subprocess.run(
            [str(self.folder / "build_and_push.sh"), *arguments],
            cwd="/",
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done


@pytest.fixture
def new_checkout(tmp_path: Path, fake_aws: FakeAws, request: pytest.FixtureRequest) -> Callable[..., Checkout]:
    """``new_checkout(registry_address, base)`` makes one; the serving image is made on ``base``."""

    def make(address: str | None, base: str = "scratch", aws: FakeAws | None = None) -> Checkout:
        folder = tmp_path / "check out"  # a space, which a careless script would break on
        copied = shutil.ignore_patterns("__pycache__")
        for name in ("fastai_local", "fastai_push"):
            shutil.copytree(ROOT / "docker" / name, folder / "docker" / name, ignore=copied)
        shutil.copy(ROOT / "build_and_push.sh", folder)
        (folder / "docker" / "Dockerfile").write_text(DOCKERFILE % base)
        (folder / VERSION_FILE).parent.mkdir(parents=True)
        (folder / VERSION_FILE).write_text('__version__ = "1.2.3"\n')
        (folder / ".gitignore").write_text("__pycache__\n/docker/weights/\n")
        (folder / "content").write_text("one")
        ours = {"MAKEFLAGS", "MAKELEVEL", "DEVICE", "BASE_IMAGE", "DOCKER_CONFIG"}
        kept = {k: v for k, v in os.environ.items() if k not in ours and not k.startswith("AWS_")}
        home = tmp_path / "home"
        home.mkdir()
        environment: dict[str, Any] = kept | dict((aws or fake_aws).environment())
        environment |= {"PYTHON": sys.executable, "HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1"}
        if address:
            environment["ECR_REGISTRY"] = address
        checkout = Checkout(folder, environment)
        checkout.git("init", "--quiet")
        checkout.git("add", ".")
        checkout.git("commit", "--quiet", "--message", "one")
        return checkout

    return make
