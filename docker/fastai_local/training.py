"""A training job on this machine: its channels, its run, and why it failed."""

from __future__ import annotations

from pathlib import Path

from fastai_local import contract
from fastai_local.errors import LocalError, UsageError
from fastai_local.folders import require_folder
from fastai_local.job import write_tree
from fastai_local.runtime import Runtime
from fastai_local.settings import Settings


def channels_of(settings: Settings) -> dict[str, Path]:
    """Return the input channels by name. Raise ``UsageError``."""
    channels = {"training": require_folder("DATA", settings.data, "name the folder of pictures, DATA=path/to/images")}
    if settings.validation:
        channels["validation"] = require_folder("VALIDATION", settings.validation, "name a folder of pictures")
    if settings.weights:
        channels["weights"] = require_folder("WEIGHTS", settings.weights, "name a folder of pretrained weights")
    return channels


def report_failure(out: Path, code: int) -> LocalError:
    """Return the error of a job that ended with a code: its own sentence, last."""
    failure = out / contract.FAILURE
    try:
        reason = failure.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        reason = "no reason was left in output/failure; its log is above"
    if code == 137:
        reason += " (killed: out of memory? try a smaller batch_size or image_size in HP)"
    return LocalError(f"training failed: {reason}", exit_code=code if 0 < code < 256 else 1)


def train(settings: Settings, runtime: Runtime, out: Path) -> None:
    """Run one job and leave its model in ``out``/model. Raise ``LocalError`` with the job's exit code."""
    channels = channels_of(settings)
    if out.exists() and not out.is_dir():
        raise UsageError(f"OUT={out} is a file: name a folder")
    try:
        write_tree(out, channels, settings.hyperparameters)
    except PermissionError as error:
        raise LocalError(f"OUT={out} can't be written ({error.strerror}: {error.filename}): name another OUT") from None
    code = runtime.train(out, channels)
    if code != 0:
        raise report_failure(out, code)
