"""pip itself, without a network, installing into a folder of the test's own; each in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.waiting import PATIENCE

pytest.importorskip("sagemaker_training")

RUN = """
import sys
from pathlib import Path
from fastai_container.errors import UserError
from fastai_training.job.installation import install
try:
    install(Path(sys.argv[1]), print, package=sys.argv[2] == "True")
except UserError as error:
    print(f"{type(error).__name__}: {error}")
"""
METADATA = "Metadata-Version: 2.1\nName: made\nVersion: 1.0\n"
WHEEL = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


@pytest.fixture
def code(tmp_path: Path) -> Path:
    (tmp_path / "code").mkdir()
    return tmp_path / "code"


def write_wheel(folder: Path) -> str:
    """A wheel of the package ``made``; returns its name."""
    name = "made-1.0-py3-none-any.whl"
    files = {"made.py": "", "made-1.0.dist-info/METADATA": METADATA, "made-1.0.dist-info/WHEEL": WHEEL}
    with zipfile.ZipFile(folder / name, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
        archive.writestr("made-1.0.dist-info/RECORD", "".join(f"{path},,\n" for path in files))
    return name


def install(code: Path, *, package: bool = False) -> tuple[list[str], set[str]]:
    """What the log says at its end, and what was installed."""
    target = code.parent / "installed"
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    offline = {"PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull, "PIP_TARGET": str(target)}
    # What is installed is left out: pip would take it for a part of every environment that it makes to build in.
    ours = [place for place in sys.path if "site-packages" not in place]
    places = {"SAGEMAKER_BASE_DIR": str(code.parent / "ml"), "PYTHONPATH": os.pathsep.join(ours)}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", RUN, str(code), str(package)],
        env=clean | offline | places,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    found = {path.name for path in target.iterdir()} if target.is_dir() else set()
    return done.stdout.splitlines(), found


def test_without_requirements_nothing_is_installed(code: Path):
    (code / "train.py").touch()
    assert install(code) == ([], set())


def test_what_is_here_is_told_and_left_as_it_is(code: Path):
    (code / "requirements.txt").write_text("numpy\npillow>=1\n")
    assert install(code) == (["requirements.txt: numpy, pillow are here already"], set())


def test_what_the_image_lacks_is_installed_and_nothing_else(code: Path):
    (code / "requirements.txt").write_text(f"numpy\n./{write_wheel(code)}\n")
    log, found = install(code)
    assert "requirements.txt: numpy is here already" in log
    assert "made.py" in found
    assert "numpy" not in found


def test_what_cannot_be_had_is_named_with_pips_exit_code(code: Path):
    (code / "requirements.txt").write_text("numpy\nno-such-package-anywhere==2\n")
    log, found = install(code)
    assert log[-1] == (
        "InstallationError: requirements.txt could not be installed (pip's exit code 1); "
        "this image lacks no-such-package-anywhere==2"
    )
    assert found == set()


def test_a_mistake_in_the_file_is_told_before_pip_is_started(code: Path):
    (code / "requirements.txt").write_text("-r missing.txt\n")
    log, _ = install(code)
    assert len(log) == 1
    assert "missing.txt" in log[0]


def test_a_package_is_installed_without_a_network(code: Path):
    pytest.importorskip("setuptools")
    (code / "setup.py").write_text("from setuptools import setup\nsetup(name='mine', py_modules=['mine'])\n")
    (code / "mine.py").touch()
    log, found = install(code, package=True)
    assert "mine.py" in found, log


def test_a_package_that_cannot_be_built_is_an_error(code: Path):
    (code / "setup.py").write_text("raise SystemExit('it needs a compiler')\n")
    log, found = install(code, package=True)
    assert log[-1] == f"InstallationError: the package in {code} could not be installed (pip's exit code 1)"
    assert found == set()
