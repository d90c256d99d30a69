"""Script mode: a user's own script, by SageMaker's conventions.

The pieces are sagemaker-training's (environment, download, installation, arguments); its trainer is not used, because
it ignores code when /opt/ml/code isn't empty, hides why a script failed and keeps signals from it.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from fastai_container.errors import UserError
from fastai_container.paths import MLPaths
from fastai_container.sagemaker import BASE_DIR_ENV, LOG_LEVEL, OTHER_LAUNCHERS, PROGRAM, SUBMIT_DIRECTORY
from fastai_training import console
from fastai_training.config_files import (
    decoded,
    decoded_value,
    read_hyperparameters,
    read_input_channels,
    read_resources,
)
from fastai_training.console import Log
from fastai_training.job import torch_hub_cache
from fastai_training.job.installation import install
from fastai_training.job.secret_masking import Mask, masked

#: Variables that repeat every hyperparameter.
_REPETITIONS = frozenset({"SM_HPS", "SM_TRAINING_ENV", "SM_USER_ARGS"})


class ScriptError(UserError):
    """A user's script that can't be found, fetched, installed or started."""


class _Given(dict[str, Any]):
    """A configuration that counts as given even when it is empty: sagemaker-training would read the file instead."""

    def __bool__(self) -> bool:
        return True


def program_of(hyperparameters: Mapping[str, Any], environment: Mapping[str, str]) -> str:
    """Return the script that the job names, "" for none."""
    return str(environment.get(PROGRAM.upper()) or decoded_value(hyperparameters.get(PROGRAM)) or "")


def find_unnamed_code(paths: MLPaths, hyperparameters: Mapping[str, Any]) -> None:
    """Refuse code that nothing would run, rather than ignore it. Raises ScriptError when there is some."""
    submitted = os.environ.get(SUBMIT_DIRECTORY.upper()) or hyperparameters.get(SUBMIT_DIRECTORY)
    held = sorted(path.name for path in paths.code.iterdir()) if paths.code.is_dir() else []
    if submitted or any(name.endswith((".py", ".sh")) for name in held):
        where = f"{paths.code} ({', '.join(held[:5])})" if held else str(submitted)
        raise ScriptError(
            f"there is code in {where} but nothing says which file to run; set the hyperparameter {PROGRAM} "
            "(the SDK does when entry_point is given), or submit none to train with the built-in trainer"
        )


def arguments(hyperparameters: Mapping[str, Any]) -> list[str]:
    """Make the script's arguments: ``--name value``, whatever the value contains; no shell ever sees them.

    A value that looks like an option is joined to its name (``--note=--x``), or argparse would take it for one.
    """
    from sagemaker_training import mapping

    flat = mapping.to_cmd_args(dict(hyperparameters))
    result: list[str] = []
    for name, value in zip(flat[::2], flat[1::2], strict=True):
        result += (
            [f"{name}={value}"] if value.startswith("-") and len(value) > 1 and not _is_number(value) else [name, value]
        )
    return result


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def fetch(uri: str, code: Path, log: Log) -> None:
    """Put the submitted code of ``uri`` (S3, file://, a folder, an archive) into ``code``. Raises ScriptError.

    What lies in ``code`` already is no reason to ignore what was submitted: that is laid over it.
    """
    from sagemaker_training import files

    if uri.startswith("file://"):
        uri = unquote(urlparse(uri).path)
    local = not uri.startswith("s3://")
    if local and Path(uri).is_dir() and Path(uri).resolve() == code.resolve():
        return
    if local and not Path(uri).exists():
        raise ScriptError(
            f"{SUBMIT_DIRECTORY} names {uri}, which is not there; give s3://, file:// or a folder of the container"
        )
    with tempfile.TemporaryDirectory(prefix="submitted-") as folder:
        new = Path(folder, "code")
        try:
            files.download_and_extract(uri, str(new))
        except Exception as error:  # boto3, tarfile and the disk each have their own
            raise ScriptError(f"the code of {uri} can't be fetched: {_first_line(error)}{_fetch_hint(error)}") from None
        if not any(new.iterdir()):
            raise ScriptError(f"the code of {uri} is empty; it must hold the program that {PROGRAM} names")
        before = {path.name for path in code.iterdir()} if code.is_dir() else set()
        if before:
            replaced = sorted(before & {path.name for path in new.iterdir()})
            log(
                f"{code} was not empty ({', '.join(sorted(before)[:8])}): the code of {uri} is laid over it"
                + (f", replacing {', '.join(replaced[:8])}" if replaced else "")
            )
        try:
            shutil.copytree(new, code, dirs_exist_ok=True)
        except (OSError, shutil.Error) as error:
            raise ScriptError(f"the submitted code can't be written to {code}: {_first_line(error)}") from None


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]


def _fetch_hint(error: Exception) -> str:
    text = f"{type(error).__name__} {error}"
    if "403" in text or "Credentials" in text or "AccessDenied" in text:
        return "; the job's role must be allowed to read it"
    if "404" in text or "NoSuch" in text:
        return "; there is no such object"
    if "EndpointConnection" in text or "ConnectTimeout" in text:
        return "; has this job network access to S3 (network isolation forbids it)?"
    if "ReadError" in text:
        return "; it must be a tar.gz archive"
    return ""


def find_program(name: str, code: Path) -> str:
    """``name`` as a path relative to ``code``. Raises ScriptError when it is not a file or package there."""
    from sagemaker_training import errors, process

    # ENV SAGEMAKER_PROGRAM=/opt/ml/code/train.py is a common way to write it.
    path = Path(name)
    if path.is_absolute() and path.is_relative_to(code):
        name = path.relative_to(code).as_posix()
    name = name.removeprefix("./")
    try:
        process.validate_entry_point(name)
    except errors.ClientError as error:
        raise ScriptError(str(error)) from None
    package = (code / "setup.py").exists() and not name.endswith(".sh")
    if not (code / name).is_file() and not package:
        held = sorted(path.relative_to(code).as_posix() for path in code.rglob("*") if path.is_file())[:8]
        raise ScriptError(
            f"the program {name} is not in {code}: "
            f"it holds {', '.join(held) or 'nothing'}; set {PROGRAM} to one of its files"
        )
    if not (code / name).resolve().is_relative_to(code.resolve()):
        raise ScriptError(f"the program {name} is a link out of {code}; submit the file itself")
    return name


@dataclass(frozen=True)
class Program:
    """``command`` runs in ``code`` with ``environment``; ``python`` is what follows the interpreter in it, if any."""

    command: list[str]
    python: list[str] | None
    code: Path
    environment: dict[str, str]


def _refuse_windows_line_ends(path: Path) -> None:
    """A shell takes the carriage return for a part of the last word: nothing it names is found then."""
    with path.open("rb") as file:
        content = file.read(1 << 20)
    if b"\r\n" in content and b"\0" not in content:
        raise ScriptError(
            f"{path.name} has Windows line ends (CR LF), which no shell here reads; save it with Unix ones (LF): "
            f"sed -i 's/\\r$//' {path.name}, and in .gitattributes *.sh text eol=lf"
        )


def _command(name: str, code: Path, values: list[str], *, package: bool) -> tuple[list[str], list[str] | None]:
    if package:
        module = name.removesuffix(".py").replace("/", ".")
        return [sys.executable, "-m", module, *values], ["-m", module, *values]
    if name.endswith(".py"):
        return [sys.executable, name, *values], [name, *values]
    path = code / name
    _refuse_windows_line_ends(path)
    with contextlib.suppress(OSError):  # a read-only mount
        path.chmod(path.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    with path.open("rb") as file:
        runs_itself = file.read(4)[:2] == b"#!" or not name.endswith(".sh")
    # Executed as it is, not by a shell in between: signals reach it, and no argument is read twice.
    return ([f"./{name}"] if runs_itself and os.access(path, os.X_OK) else ["/bin/sh", f"./{name}"]) + values, None


def prepare(paths: MLPaths, log: Log) -> Program:
    """Fetch and install the user's script; return what is to be run, with SageMaker's variables. Raises UserError."""
    logging.basicConfig(format="%(message)s", level=logging.WARNING, stream=sys.stderr)
    try:
        from sagemaker_training import environment
    except OSError as error:  # it creates /opt/ml/code when it is imported
        raise ScriptError(
            f"{paths.code} can't be created ({error.strerror}); run as root, or mount a folder there"
        ) from None
    config = paths.config
    hyperparameters = decoded(read_hyperparameters(config))
    env = environment.Environment(
        resource_config=_Given(read_resources(config)),
        input_data_config=_Given(read_input_channels(config)),
        hyperparameters=_Given(hyperparameters),
    )
    unsupported = [name for name in OTHER_LAUNCHERS if hyperparameters.get(name)]
    if unsupported:
        raise ScriptError(
            f"{unsupported[0]} asks for a launcher that this image doesn't have; use torchrun: "
            'distribution={"torch_distributed": {"enabled": True}}'
        )
    code = paths.code
    submitted = hyperparameters.get(SUBMIT_DIRECTORY) or os.environ.get(SUBMIT_DIRECTORY.upper())
    if submitted:
        fetch(str(submitted), code, log)
    name = find_program(program_of(hyperparameters, os.environ), code)
    package = (code / "setup.py").exists() and not name.endswith(".sh")
    install(code, log, package=package)
    values = arguments(env.hyperparameters)
    variables = env.to_env_vars()
    python_path = [str(code), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    _make_folders(paths, variables)
    if not os.environ.get(BASE_DIR_ENV):  # without a container the cache is the user's own, and outlives the job
        torch_hub_cache.fill(paths.data / "weights", log)
    variables["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(python_path))
    if any("\0" in text for text in (*values, *variables.values())):
        raise ScriptError("a hyperparameter holds a NUL character, which no argument can carry; leave it out")
    _log_invocation(log, name, env.hyperparameters, variables, int(hyperparameters.get(LOG_LEVEL) or logging.INFO))
    command, python = _command(name, code, values, package=package)
    return Program(command, python, code, variables)


def _make_folders(paths: MLPaths, variables: Mapping[str, str]) -> None:
    """Make the folders that SageMaker's variables name, as they are there on SageMaker. What can't be made is told."""
    for name, folder in sorted(variables.items()):
        if name.startswith("SM_") and name.endswith("_DIR") and Path(folder).is_relative_to(paths.base):
            try:
                Path(folder).mkdir(parents=True, exist_ok=True)
            except OSError as error:
                console.warn(f"{name}: {folder} is not there and can't be made: {error.strerror}")


def _log_invocation(
    log: Log, name: str, hyperparameters: Mapping[str, Any], variables: Mapping[str, str], level: int
) -> None:
    """What is run with what; secrets masked. The whole environment only at level DEBUG."""
    if level > logging.INFO:
        return
    mask = Mask(os.environ, hyperparameters)
    shown = masked(dict(hyperparameters))
    log(mask(f"running {name} with the hyperparameters {json.dumps(shown, ensure_ascii=False, default=str)}"))
    if level <= logging.DEBUG:
        for variable, value in sorted((os.environ | dict(variables)).items()):
            if variable not in _REPETITIONS:
                log(mask(f"{variable}={masked(value, variable)}"))
