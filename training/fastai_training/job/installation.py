"""Install what a user's code needs: its requirements.txt, and the code itself where it is a package."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from fastai_container import requirements
from fastai_container.errors import UserError
from fastai_training.console import Log

_PIP = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_ROOT_USER_ACTION": "ignore", "PIP_NO_INPUT": "1"}


class InstallationError(UserError):
    """Requirements, or a package, that can't be installed."""


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]


def _install_requirements(path: Path, log: Log) -> None:
    """Have pip install what ``path`` asks for and this image lacks."""
    from sagemaker_training import modules

    found = requirements.read(path)
    here = ", ".join(dict.fromkeys(line.name for line in found.satisfied))
    if here:
        log(f"{path.name}: {here} {'are' if ', ' in here else 'is'} here already")
    with tempfile.TemporaryDirectory(prefix="requirements-") as folder:
        missing = found.write(Path(folder))
        if missing is None:
            return
        command = [sys.executable, "-m", "pip", "install", "-r", str(missing)]
        if os.environ.get(modules.CA_REPOSITORY_ARN_ENV):
            command += ["-i", modules._get_codeartifact_index()]
        code = subprocess.run(command, cwd=path.parent, check=False).returncode
    if code:
        lines = ", ".join(line.text for line in found.missing)
        raise InstallationError(
            f"{path.name} could not be installed (pip's exit code {code}); this image lacks {lines[:300]}"
        )


def install(code: Path, log: Log, *, package: bool) -> None:
    """Install requirements.txt and, for a ``package``, the code itself. Raises UserError."""
    from sagemaker_training import errors, modules

    for variable, value in _PIP.items():
        os.environ.setdefault(variable, value)
    try:
        if modules.has_requirements(str(code)):
            _install_requirements(code / "requirements.txt", log)
        if package:
            if not (code / "pyproject.toml").exists():
                # A plain setup.py needs setuptools, which is here: no download, so that it works without network.
                os.environ.setdefault("PIP_NO_BUILD_ISOLATION", "0")
            modules.install(str(code))
            os.environ.pop("PIP_NO_BUILD_ISOLATION", None)
    except errors.InstallModuleError as error:
        raise InstallationError(
            f"the package in {code} could not be installed (pip's exit code {error.return_code})"
        ) from None
    except errors.ClientError as error:
        raise InstallationError(_first_line(error)) from None
    except UserError:
        raise
    except Exception as error:  # CodeArtifact's plain Exceptions
        raise InstallationError(f"the requirements could not be installed: {_first_line(error)}") from None
