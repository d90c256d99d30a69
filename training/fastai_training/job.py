"""One training job, seen from PID 1: choose what to run, pass signals on, and say what went wrong."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType

from fastai_container.errors import UserError
from fastai_container.paths import MLPaths
from fastai_training.hyperparameters import read_file

#: SageMaker's script mode names the user's program by these (sagemaker-training's contract).
PROGRAM_PARAMETER, PROGRAM_ENV = "sagemaker_program", "SAGEMAKER_PROGRAM"


def _command(paths: MLPaths) -> list[str]:
    """The program to run: the user's script through sagemaker-training, or the built-in one. Raises UserError."""
    parameters = read_file(paths.config / "hyperparameters.json")
    if parameters.get(PROGRAM_PARAMETER) or os.environ.get(PROGRAM_ENV):
        return [sys.executable, "-m", "sagemaker_training.cli.train"]
    if paths.code.is_dir() and any(paths.code.glob("*.py")):
        raise UserError(
            f"there is code in {paths.code} but nothing says which file to run; set the hyperparameter "
            f"{PROGRAM_PARAMETER} (the SDK does when entry_point is given), or leave the folder empty"
        )
    return [sys.executable, "-m", "fastai_training"]


def _died_of(number: int) -> str:
    name = signal.Signals(number).name
    if number == signal.SIGKILL:
        return (
            f"training was killed ({name}): most likely the container's memory ran out; "
            "lower batch_size or workers, or take a larger instance"
        )
    if number == signal.SIGBUS:
        return f"training died of {name}: most likely /dev/shm is too small; set workers=0 or docker run --shm-size=2g"
    return f"training was ended by {name}"


def run() -> int:
    """Run the job and return its exit code; SIGTERM and SIGINT go to the training process.

    A process that dies of a signal gives 128 + its number, as in a shell, and a reason in /opt/ml/output/failure.
    """
    paths = MLPaths.from_environment()
    paths.failure.unlink(missing_ok=True)
    try:
        command = _command(paths)
    except UserError as error:
        paths.write_failure(str(error))
        raise
    child = subprocess.Popen(command, env=os.environ | {"PYTHONUNBUFFERED": "1"})

    def forward(number: int, _frame: FrameType | None) -> None:
        child.send_signal(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, forward)
    code = child.wait()
    if code >= 0:
        return code
    reason = _died_of(-code)
    if not _is_written(paths.failure):
        paths.write_failure(reason)
    print(f"error: {reason}", file=sys.stderr, flush=True)
    return 128 - code


def _is_written(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0
