"""What tests need from the machine: the pictures of PETS_DIR. A missing one skips with how to get it.

REQUIRE_PETS=1 and REQUIRE_ENGINE=1 (CI sets both) turn such a skip into a failure.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.aws import FakeAws, fake_aws_server

# Before anything imports torch: threads that spin while they wait slow down whatever shares their cores.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

ROOT = Path(__file__).resolve().parent.parent


def missing(what: str, variable: str) -> None:
    """Skip the test because of ``what``, or fail it where ``variable`` says that it must be there."""
    if os.environ.get(variable) == "1":
        pytest.fail(f"{variable}=1, but {what}")
    pytest.skip(what)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """What is marked ``engine`` needs one, whether or not it asks for a fixture that says so."""
    if item.get_closest_marker("engine"):
        from tests.engine import require_engine  # here: it imports this module

        require_engine()


@pytest.fixture(scope="session")
def pets() -> Path:
    """The folder of pictures of the Oxford-IIIT pets."""
    folder = Path(os.environ.get("PETS_DIR") or ROOT.parent / "shared" / "pets")
    if (folder / "images").is_dir():
        folder = folder / "images"
    if not any(folder.glob("*.jpg")):
        missing(
            f"no pictures in {folder}; set PETS_DIR to a folder of Oxford-IIIT pets (fastai: untar_data(URLs.PETS))",
            "REQUIRE_PETS",
        )
    return folder.resolve()


@pytest.fixture(scope="session")
def fake_aws() -> Iterator[FakeAws]:
    """moto's server, for as long as the tests run."""
    with fake_aws_server() as server:
        yield server
