"""Which script of a user's is run: where it lies, and the packages it asks for.

Where SageMaker puts one (sagemaker-inference and the SDK): SAGEMAKER_PROGRAM (default inference.py) in ``code`` of the
model folder, or in SAGEMAKER_SUBMIT_DIRECTORY, which is a folder, an archive of one, or an archive on S3.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from sagemaker_inference import parameters

from fastai_container.errors import UserError, unreadable
from fastai_serving.environment import CREDENTIALS_ENV, PACKAGES_ENV, SCRIPT_ENV, STATE_ENV
from fastai_serving.user_code import code_archive, packages

logger = logging.getLogger(__name__)

DEFAULT_PROGRAM = "inference.py"
SUBMIT_DIRECTORY_ENV = "SAGEMAKER_SUBMIT_DIRECTORY"
REQUIREMENTS = "requirements.txt"
#: What the SDK says of a script in model.tar.gz.
_IN_THE_MODEL = ("/opt/ml/model/code", "file:///opt/ml/model/code")


@dataclass(frozen=True)
class Script:
    """``archive`` holds the script when it is still packed: a local path or an address on S3."""

    path: Path
    archive: str | None = None


def _program(environment: Mapping[str, str]) -> tuple[str, bool]:
    name = environment.get(parameters.USER_PROGRAM_ENV, "").strip()
    program = name or DEFAULT_PROGRAM
    return program if program.endswith(".py") else f"{program}.py", bool(name)


def find(folder: Path, code: Path, environment: Mapping[str, str] = os.environ) -> Script | None:
    """The user's script for the model ``folder``; ``code`` is /opt/ml/code. None when there is none.

    Raises UserError when SAGEMAKER_PROGRAM names one that isn't there, or that can't be read.
    """
    try:
        return _find(folder, code, environment)
    except PermissionError as error:
        raise UserError(unreadable(error.filename)) from None


def _find(folder: Path, code: Path, environment: Mapping[str, str]) -> Script | None:
    program, named = _program(environment)
    places = [folder / "code"]
    submitted = environment.get(SUBMIT_DIRECTORY_ENV, "").strip()
    if submitted.startswith("s3://"):
        if named:
            return Script(Path(program), submitted)
    elif submitted:
        place = Path(urlsplit(submitted).path if submitted.startswith("file://") else submitted)
        if place.is_file():
            return Script(Path(program), str(place))
        places.insert(0, place)
    if named:
        places.append(code)
    for place in places:
        if (place / program).is_file():
            return Script(place / program)
    # Version 3 of the SDK (ModelBuilder) always names the default script in the model's own folder, there or not.
    of_course = program == DEFAULT_PROGRAM and submitted in (str(folder / "code"), "/opt/ml/model/code")
    if named and not of_course:
        looked = ", ".join(str(place) for place in places)
        raise UserError(
            f"{parameters.USER_PROGRAM_ENV} names {program}, but it is not in {looked}; put it into code/ of the model"
        )
    return None


def find_of_model(folder: Path, environment: Mapping[str, str] = os.environ) -> Path | None:
    """The script that one model of a multi-model endpoint brings; None when there is none.

    SAGEMAKER_PROGRAM is one word for all models, so a model that has no such file may still have inference.py.
    """
    for name in dict.fromkeys((_program(environment)[0], DEFAULT_PROGRAM)):
        if (folder / "code" / name).is_file():
            return folder / "code" / name
    return None


def unused(folder: Path, code: Path | None = None) -> list[str]:
    """What to tell a user about scripts that nobody runs: in ``code/`` of the model, beside it, or in /opt/ml/code.

    To be asked where ``find`` has found none.
    """
    told = []
    for place in (folder / "code", code):
        names = _modules(place) if place else []
        if names:
            told.append(
                f"{place}/{names[0]} is not used: nothing names it. Call it {DEFAULT_PROGRAM}, or set "
                f"{parameters.USER_PROGRAM_ENV}={names[0]}"
            )
        elif place and (place / REQUIREMENTS).is_file():
            told.append(f"{place / REQUIREMENTS} is not used: there is no script beside it")
    told += [
        f"{folder / name} is not used: put scripts into {folder / 'code'}"
        for name in _modules(folder)
        if name == DEFAULT_PROGRAM
    ]
    return told


def not_for_many(environment: Mapping[str, str], *, kept: bool) -> list[str]:
    """What to tell about variables that a multi-model endpoint's models don't get: each brings its own script.

    ``kept``: whether the workers see credentials, and where pip is to look.
    """
    told = []
    submitted = environment.get(SUBMIT_DIRECTORY_ENV, "").strip()
    if submitted and submitted not in _IN_THE_MODEL:
        told.append(f"{SUBMIT_DIRECTORY_ENV}={submitted} is not used here: a script of many is in its model's code/")
    if not kept:
        told += [
            f"{name} is not given to the models' own {REQUIREMENTS}: the workers of all models would see it; "
            f"set {CREDENTIALS_ENV}=true if they may"
            for name in sorted(packages.INDEX_ENV & environment.keys())
        ]
    return told


def _modules(folder: Path) -> list[str]:
    try:
        return sorted(path.name for path in folder.iterdir() if path.suffix == ".py" and path.is_file())
    except OSError:
        return []


def prepare(script: Script | None, state: Path) -> dict[str, str]:
    """Get the script and its packages ready in ``state``; what to tell the workers of one model. Raises UserError."""
    if script is None:
        return {SCRIPT_ENV: ""}
    path = script.path
    if script.archive is not None:
        folder = state / "code"
        folder.mkdir()
        code_archive.unpack(script.archive, folder)
        path = folder / script.path
        if not path.is_file():
            raise UserError(f"{parameters.USER_PROGRAM_ENV} names {script.path}, but it is not in {script.archive}")
    told = {SCRIPT_ENV: str(path)}
    requirements = path.parent / REQUIREMENTS
    if requirements.is_file():
        installed = packages.install(requirements, state / "packages")
        if installed is not None:
            told[PACKAGES_ENV] = str(installed)
    return told


def of_worker(folder: Path, environment: Mapping[str, str] = os.environ) -> tuple[Path | None, Path | None]:
    """Say which script a worker runs for the model in ``folder``, and where that script's packages are.

    Of one model that is what ``prepare`` told; a model of a multi-model endpoint brings its own, whose packages are
    installed here. Raises UserError.
    """
    told = environment.get(SCRIPT_ENV)
    if told is not None:
        installed = environment.get(PACKAGES_ENV)
        return (Path(told), Path(installed) if installed else None) if told else (None, None)
    script, state = find_of_model(folder, environment), environment.get(STATE_ENV)
    if script is None:
        for sentence in unused(folder):
            logger.warning("%s", sentence)
        return None, None
    requirements = script.parent / REQUIREMENTS
    if not state or not requirements.is_file():
        return script, None
    return script, packages.install_once(requirements, Path(state))
