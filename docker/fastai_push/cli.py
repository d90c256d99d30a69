"""From the command line to the push, by way of a Python that has boto3."""

from __future__ import annotations

import importlib.metadata
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from fastai_local.errors import exit_code_of
from fastai_local.native import ensure_side_environment
from fastai_local.settings import ROOT, Settings
from fastai_push.options import parse

#: Older ones don't know tags that are immutable but for some.
BOTO3 = (1, 40)
REQUIREMENTS = Path("docker", "requirements", "push.txt")


def has_boto3() -> bool:
    try:
        version = importlib.metadata.version("boto3")
    except importlib.metadata.PackageNotFoundError:
        return False
    return tuple(int(part) for part in version.split(".")[:2] if part.isdigit()) >= BOTO3


def main(arguments: Sequence[str]) -> int:
    """Run build_and_push.sh; return the exit code."""
    interrupted = "interrupted; what was pushed stays, and the same command goes on from there"
    return exit_code_of(lambda: _run(arguments), interrupted)


def _run(arguments: Sequence[str]) -> int:
    options = parse(arguments, os.environ)
    variables = {name: value for name, value in os.environ.items() if name == "BASE_IMAGE"}
    settings = Settings.from_environment({**variables, "DEVICE": options.device}, Path.cwd())
    if not has_boto3():
        python = ensure_side_environment(settings, "push", ROOT / REQUIREMENTS)
        sys.stdout.flush()
        os.execv(python, [str(python), "-m", "fastai_push", *arguments])  # noqa: S606
    from fastai_push.push import push

    return push(settings, options)
