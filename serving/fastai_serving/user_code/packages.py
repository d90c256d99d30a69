"""Install what a script's requirements.txt asks for and the image lacks, next to the image's own packages."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import venv
from importlib import metadata
from pathlib import Path

from fastai_container import requirements
from fastai_container.errors import UserError
from fastai_serving.user_code.hints import TRAINING_IMAGE, is_serving_image

logger = logging.getLogger("supervisor")

CODE_ARTIFACT_ENV = "CA_REPOSITORY_ARN"
#: Variables that tell pip where to look; they may hold credentials.
INDEX_ENV = frozenset({CODE_ARTIFACT_ENV, "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX"})
_CODE_ARTIFACT = re.compile(r"arn:[^:]+:codeartifact:([^:]+):([^:]+):repository/([^/]+)/(.+)")
#: Installing these brings torch, which is gigabytes and takes minutes. The training image has them.
_FOR_THE_TRAINING_IMAGE = frozenset({"fastai", "timm", "torch", "torchaudio", "torchvision"})
_REPOSITORY = re.compile(r"/(fastai|timm|pytorch-image-models|torchvision)(\.git)?(@|#|$)")
_NO_NETWORK = re.compile(r"NewConnectionError|NameResolutionError|ConnectTimeout|Network is unreachable")
_NO_NETWORK_HINT = (
    "; the package index can't be reached from this container: give it network, or put the wheels beside "
    "requirements.txt (./name.whl)"
)
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+@")


def _code_artifact_index(arn: str) -> str:
    """Return the address, with a token, of a CodeArtifact repository's package index. Raise ``UserError``."""
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


def _refuse_what_the_training_image_has(path: Path, wanted: requirements.Requirements) -> None:
    """Raise ``UserError`` for packages that would bring torch, but only in the serving image."""
    if not is_serving_image():
        return
    for line in wanted.missing:
        name = line.name if line.name in _FOR_THE_TRAINING_IMAGE else ""
        match = None if line.requirement else _REPOSITORY.search(line.text)
        if name or match:
            raise UserError(
                f"{path} asks for {name or (match[1] if match else '')}, which the serving image has not and does not "
                f"install: serve this model with {TRAINING_IMAGE}, which has it"
            )


def _folder_of_modules(prefix: Path) -> Path:
    return Path(sysconfig.get_path("purelib", vars={"base": str(prefix), "platbase": str(prefix)}))


def _overlay(target: Path) -> str:
    """Make a virtual environment at ``target`` that also sees this one's packages; return its interpreter.

    pip counts our packages as installed. When the script asks for another release of one, pip leaves ours alone. With
    ``--prefix`` it would uninstall ours first, which fails in a read-only container.
    """
    venv.EnvBuilder(symlinks=True, with_pip=False).create(target)
    places = dict.fromkeys(sysconfig.get_path(kind) for kind in ("purelib", "platlib"))
    (_folder_of_modules(target) / "beneath.pth").write_text("\n".join(places) + "\n", encoding="utf-8")
    return str(target / "bin" / "python")


def install(path: Path, target: Path) -> Path | None:
    """Install what the requirements.txt at ``path`` asks for and this environment lacks, into ``target``.

    Return the folder to import from, or None when nothing is missing. Raise ``UserError``.
    """
    wanted = requirements.read(path)
    _refuse_what_the_training_image_has(path, wanted)
    target.mkdir(parents=True, exist_ok=True)
    file = wanted.write(target)
    if file is None:
        logger.info("%s: all that it asks for is installed", path)
        return None
    missing = ", ".join(line.name or _CREDENTIALS.sub("", line.text) for line in wanted.missing)
    logger.info("installing %s, for %s", missing, path)
    python = _overlay(target)
    command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-cache-dir"]
    command += ["--no-warn-script-location", "-r", str(file)]
    # A module of the user's must not be imported in place of one of pip's.
    environment = os.environ | {"PYTHONSAFEPATH": "1"}
    arn = environment.get(CODE_ARTIFACT_ENV)
    if arn:
        environment["PIP_INDEX_URL"] = _code_artifact_index(arn)  # not an argument: it holds a token
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=path.parent, env=environment)
    if done.returncode != 0:
        reason = " ".join(line.strip() for line in done.stderr.splitlines()[-3:])
        hint = _NO_NETWORK_HINT if _NO_NETWORK.search(done.stderr) else ""
        raise UserError(f"can't install {path}: {_CREDENTIALS.sub('', reason)[-1000:]}{hint}")
    return _folder_of_modules(target)


def late(folder: Path) -> list[str]:
    """Return a sentence for each package in ``folder`` that comes too late: this process imported another release."""
    told = []
    for distribution in metadata.distributions(path=[str(folder)]):
        modules = {Path(str(file)).parts[0].removesuffix(".py") for file in distribution.files or ()}
        for name in sorted(modules & sys.modules.keys()):
            place = getattr(sys.modules[name], "__file__", None)
            if place and not Path(place).is_relative_to(folder):
                told.append(
                    f"{distribution.metadata['Name']} {distribution.version} was installed for the script, but the "
                    f"server had imported its own {name} before, which stays"
                )
    return told


def install_once(path: Path, state: Path) -> Path | None:
    """Like ``install``, but for a model of a multi-model endpoint: once for all its workers and all its loads.

    The packages are kept in ``state``, under a hash of the names, sizes and times of all files next to the
    requirements.txt.
    """
    digest = hashlib.sha256(str(path).encode())
    for file in sorted(path.parent.rglob("*")):
        facts = file.lstat()
        digest.update(f"{file} {facts.st_size} {facts.st_mtime_ns}".encode(errors="surrogateescape"))
    target = state / "packages" / digest.hexdigest()[:32]
    if not target.is_dir():
        target.parent.mkdir(exist_ok=True)
        partial = Path(tempfile.mkdtemp(dir=target.parent))
        try:
            if install(path, partial) is None:
                return None
            partial.rename(target)
        except OSError:
            if not target.is_dir():  # otherwise another worker was faster
                raise
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return _folder_of_modules(target)
