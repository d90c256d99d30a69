"""The entry point of both images, PID 1 of the container: ``train``, ``serve``, or any other command.

SageMaker starts ``docker run IMAGE train`` or ``IMAGE serve``; SDK 3 gives other commands, which are run as they are.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys

from fastai_container import __version__, init
from fastai_container.errors import UserError, printable
from fastai_container.paths import MLPaths

USAGE = f"""fastai-sagemaker {__version__}: train a fastai vision model on SageMaker and serve it.

  train           run a training job on /opt/ml/input (in the training image)
  serve           serve the model folder at /opt/ml/model on port 8080
  any other       is run as a command, for example: bash, python3 -m pip list
"""


def _refuse_arguments(command: str, *arguments: str) -> None:
    """``train --epochs 3`` must not train with other values than were asked for. Raises UserError."""
    if not arguments:
        return
    where = {
        "train": "hyperparameters go into /opt/ml/input/config/hyperparameters.json, as names and values: "
        '{"epochs": "3"}; make train takes HP="epochs=3"',
        "serve": "settings are environment variables (docker run -e SAGEMAKER_MODEL_SERVER_WORKERS=2)",
    }[command]
    reason = f"{command} takes no arguments, it got {' '.join(map(repr, arguments))[:200]}: {where}"
    if command == "train":
        with contextlib.suppress(OSError):  # where nothing is mounted the log has it
            MLPaths.from_environment().write_failure(reason)
    raise UserError(reason)


def _run_train() -> int:
    if importlib.util.find_spec("fastai_training") is None or importlib.util.find_spec("fastai") is None:
        raise UserError("this is the serving image, it can't train; use the image fastai-sagemaker-training")
    from fastai_training.job.main import run

    return run()


def _run_serve() -> int:
    from fastai_serving.supervisor.main import run

    return run()


def _run_command(command: list[str]) -> int:
    """Become ``command``, or as PID 1 run it; its exit code, or the one a shell gives when it can't be run."""
    try:
        if os.getpid() == 1:
            return init.run(command)
        os.execvp(command[0], command)  # noqa: S606
    except OSError as error:
        print(
            f"error: can't run {command[0]!r}: {error.strerror}. Commands of this image are train and serve; "
            "any other word is run as a program.",
            file=sys.stderr,
        )
        return 127 if isinstance(error, FileNotFoundError) else 126


def main(arguments: list[str] | None = None) -> int:
    """Run what ``arguments`` (default: the command line) name and return the exit code.

    A command other than ours gets our signals, and its exit code is ours.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or arguments[0] in ("help", "--help", "-h"):
        print(USAGE)
        return 0
    try:
        if arguments[0] in ("train", "serve"):
            _refuse_arguments(*arguments)
        if arguments[0] == "train":
            return _run_train()
        if arguments[0] == "serve":
            return _run_serve()
    except UserError as error:
        print(f"error: {printable(str(error))}", file=sys.stderr, flush=True)
        return 1
    return _run_command(arguments)
