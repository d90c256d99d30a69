"""A user's own script: where it lies, and the packages it asks for.

Where SageMaker puts one (sagemaker-inference and the SDK): SAGEMAKER_PROGRAM (default inference.py) in ``code`` of the
model folder, or in SAGEMAKER_SUBMIT_DIRECTORY, which is a folder, an archive of one, or an archive on S3.
"""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from sagemaker_inference import parameters

from fastai_container.errors import UserError, unreadable

logger = logging.getLogger("supervisor")

DEFAULT_PROGRAM = "inference.py"
SUBMIT_DIRECTORY_ENV = "SAGEMAKER_SUBMIT_DIRECTORY"
CODE_ARTIFACT_ENV = "CA_REPOSITORY_ARN"
#: How the supervisor tells a worker which script to run, and where the packages are that it asked for.
SCRIPT_ENV = "FASTAI_SAGEMAKER_SCRIPT"
PACKAGES_ENV = "FASTAI_SAGEMAKER_PACKAGES"
_CODE_ARTIFACT = re.compile(r"arn:[^:]+:codeartifact:([^:]+):([^:]+):repository/([^/]+)/(.+)")


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


def _harmless(archive: tarfile.TarFile, folder: Path) -> list[tarfile.TarInfo]:
    """The files and folders of ``archive`` that stay within ``folder``; no links, no devices."""
    return [
        member
        for member in archive.getmembers()
        if (member.isfile() or member.isdir()) and (folder / member.name).resolve().is_relative_to(folder)
    ]


def _unpack(script: Script, state: Path) -> Path:
    """The script of an archive, unpacked into ``state``. Raises UserError."""
    assert script.archive is not None
    folder = state / "code"
    folder.mkdir()
    source = script.archive
    try:
        with tempfile.TemporaryDirectory(dir=state) as temporary:
            if source.startswith("s3://"):
                import boto3  # only here: it takes half a second to import

                address = urlsplit(source)
                local = Path(temporary) / "code.tar.gz"
                boto3.client("s3").download_file(address.netloc, address.path.lstrip("/"), str(local))
            else:
                local = Path(source)
            with tarfile.open(local) as archive:
                # Not extractall(filter="data"): Debian 12's Python is older than that.
                archive.extractall(folder, members=_harmless(archive, folder.resolve()))  # noqa: S202
    except Exception as error:  # boto's and tarfile's errors are many, each says what was wrong
        raise UserError(f"can't get the script's archive {source}: {error}") from None
    path = folder / script.path
    if not path.is_file():
        raise UserError(f"{parameters.USER_PROGRAM_ENV} names {script.path}, but it is not in {source}")
    return path


def _code_artifact_index(arn: str) -> str:
    """The address, with a token, of a CodeArtifact repository's package index. Raises UserError."""
    match = _CODE_ARTIFACT.fullmatch(arn)
    if match is None:
        raise UserError(f"{CODE_ARTIFACT_ENV}={arn!r} is not the ARN of a CodeArtifact repository")
    region, owner, domain, repository = match.groups()
    import boto3

    try:
        client = boto3.client("codeartifact", region_name=region)
        token = client.get_authorization_token(domain=domain, domainOwner=owner)["authorizationToken"]
        where = client.get_repository_endpoint(domain=domain, domainOwner=owner, repository=repository, format="pypi")
    except Exception as error:
        raise UserError(f"can't use the CodeArtifact repository {arn}: {error}") from None
    return where["repositoryEndpoint"].replace("https://", f"https://aws:{token}@").rstrip("/") + "/simple/"


def _install(requirements: Path, target: Path) -> Path:
    """Install what ``requirements`` asks for and this environment lacks; where it can be imported from."""
    logger.info("installing %s", requirements)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-cache-dir"]
    command += ["--no-warn-script-location", "--prefix", str(target), "-r", str(requirements)]
    environment = dict(os.environ)
    arn = environment.get(CODE_ARTIFACT_ENV)
    if arn:
        environment["PIP_INDEX_URL"] = _code_artifact_index(arn)  # not an argument: it holds a token
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=requirements.parent, env=environment
    )
    if done.returncode != 0:
        reason = " ".join(line.strip() for line in done.stderr.splitlines()[-3:])
        raise UserError(f"can't install {requirements}: {reason}")
    return Path(sysconfig.get_path("purelib", vars={"base": str(target), "platbase": str(target)}))


def prepare(script: Script, state: Path) -> dict[str, str]:
    """Get the script and its packages ready in ``state``; what to tell the workers. Raises UserError."""
    path = script.path if script.archive is None else _unpack(script, state)
    told = {SCRIPT_ENV: str(path)}
    requirements = path.parent / "requirements.txt"
    if requirements.is_file():
        told[PACKAGES_ENV] = str(_install(requirements, state / "packages"))
    return told
