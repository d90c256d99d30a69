"""A wheel of the project, installed into an environment of its own: what it holds, and that it serves."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import time
import urllib.request
import venv
import zipfile
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.waiting import PATIENCE

#: What the wheel is made of.
SOURCES = ("pyproject.toml", "README.md", "LICENSE", "container", "training", "serving")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", folder, folder]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    if "invalid command 'bdist_wheel'" in done.stderr or "No module named 'setuptools" in done.stderr:
        pytest.skip("no setuptools to build a wheel with: pip install 'setuptools>=77'")
    assert done.returncode == 0, done.stderr[-2000:]
    return next(folder.glob("*.whl"))


def test_the_wheel_holds_every_file_of_the_packages(wheel: Path):
    held = set(zipfile.ZipFile(wheel).namelist())
    wanted = {
        path.relative_to(folder).as_posix()
        for folder in (ROOT / name for name in ("container", "training", "serving"))
        for path in folder.rglob("*")
        if path.suffix in (".py", ".java", ".xml", ".typed") and path.parent != folder
    }
    assert wanted - held == set()
    assert not [name for name in held if name.startswith(("tests", "docker", "benchmarks", "examples"))]


def test_the_metadata_says_what_it_is_for(wheel: Path):
    archive = zipfile.ZipFile(wheel)
    metadata = archive.read(next(name for name in archive.namelist() if name.endswith("/METADATA"))).decode()
    assert "Summary: Image classification with fastai on Amazon SageMaker" in metadata
    for line in ("Classifier: Typing :: Typed", "Classifier: Programming Language :: Python :: 3.13"):
        assert line in metadata


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a new environment with the wheel, not editable. What it depends on is this environment's."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    purelib = Path(sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)}))
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", purelib, wheel]
    subprocess.run(command, check=True, timeout=600)
    # pip's own path file: a folder named there is searched last, and its editable installations are not.
    (purelib / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


def test_it_serves_from_the_wheel(installed: Path, model: Path, pictures: Path, tmp_path: Path):
    """With the plug-in that is compiled of the wheel's Java sources."""
    if shutil.which("javac") is None:
        pytest.skip("no javac to compile the plug-in with: install a JDK, such as Debian's default-jdk-headless")
    pytest.importorskip("mms", reason="multi-model-server isn't installed: pip install '.[serving]'")
    (tmp_path / "ml").mkdir()
    shutil.copytree(model, tmp_path / "ml" / "model")
    port = _free_port()
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {
        "SAGEMAKER_BASE_DIR": str(tmp_path / "ml"),
        "SAGEMAKER_BIND_TO_PORT": str(port),
        "SAGEMAKER_MODEL_SERVER_WORKERS": "1",
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }
    log = tmp_path / "log"
    with log.open("wb") as file:
        command = [installed, "-P", "-m", "fastai_sagemaker", "serve"]
        server = subprocess.Popen(command, env=environment, stdout=file, stderr=file, cwd=tmp_path)
        try:
            _wait_until_ready(server, port, log)
            request = urllib.request.Request(
                f"http://127.0.0.1:{port}/invocations",
                (pictures / "light" / "1.png").read_bytes(),
                {"Content-Type": "image/png"},
            )
            with urllib.request.urlopen(request, timeout=PATIENCE) as response:
                assert b'"class": "light"' in response.read()
        finally:
            server.terminate()
            server.wait(PATIENCE)
    assert list((tmp_path / "cache").rglob("FrontendHandler.class")), "the plug-in of the wheel was compiled"
    assert "no plug-in" not in log.read_text()


def _free_port() -> int:
    import socket

    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _wait_until_ready(server: subprocess.Popen, port: int, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        assert server.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=PATIENCE):
                return
        except OSError:
            time.sleep(0.2)
