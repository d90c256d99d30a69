"""The SageMaker Python SDK's local mode on our images. Versions 2 and 3 can't share an environment, so each has its own
below build/, and the tests run programs in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastai_local.native import ensure_side_environment
from fastai_local.settings import Settings
from tests.conftest import ROOT


@pytest.fixture(scope="session")
def sdk2_python() -> Path:
    """The Python of an environment with version 2 of the SDK and what the notebook needs."""
    return ensure_side_environment(Settings(), "sdk2", ROOT / "examples" / "requirements.txt")


@pytest.fixture(scope="session")
def sdk3_python() -> Path:
    """The Python of an environment with version 3 of the SDK."""
    return ensure_side_environment(Settings(), "sdk3", ROOT / "examples" / "requirements-sdk3.txt")
