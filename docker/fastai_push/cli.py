"""From the command line to the push, by way of a Python that has boto3."""

from __future__ import annotations

import importlib.metadata
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from fastai_local.errors import LocalError, Terminated
from fastai_local.native import ensure_side_environment
from fastai_local.process import say
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


def _on_signal(number: int, _: FrameType | None) -> None:
    raise Terminated(number)


def main(arguments: Sequence[str]) -> int:
    """Runs build_and_push.sh; returns the exit code."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _on_signal)
    try:
        options = parse(arguments, os.environ)
        variables = {name: value for name, value in os.environ.items() if name == "BASE_IMAGE"}
        settings = Settings.from_environment({**variables, "DEVICE": options.device}, Path.cwd())
        if not has_boto3():
            python = ensure_side_environment(settings, "push", ROOT / REQUIREMENTS)
            sys.stdout.flush()
            os.execv(python, [str(python), "-m", "fastai_push", *arguments])  # noqa: S606
        from fastai_push.push import push

        return push(settings, options)
    except LocalError as error:
        sys.stdout.flush()
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except Terminated as signalled:
        return signalled.exit_code
    except KeyboardInterrupt:
        say("interrupted; what was pushed stays, and the same command goes on from there")
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except OSError as error:
        print(f"error: {error.filename or 'the system'}: {error.strerror or error}", file=sys.stderr)
        return 1
