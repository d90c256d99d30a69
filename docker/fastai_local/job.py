"""A job's folder, laid out as SageMaker lays out /opt/ml, and the process that works on it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from fastai_local import contract
from fastai_local.errors import LocalError
from fastai_local.process import say

STOP_SECONDS = 120  # between SIGTERM and SIGKILL, as on SageMaker
HOST = "algo-1"


def write_tree(out: Path, channels: Mapping[str, Path], hyperparameters: Mapping[str, str]) -> None:
    """Lay out a job's folder as SageMaker does. What a former job failed of is removed, its model is not."""
    config = out / contract.CONFIG
    for folder in (config, out / contract.MODEL, out / contract.OUTPUT / "data", out / contract.CHECKPOINTS):
        folder.mkdir(parents=True, exist_ok=True)
    (out / contract.FAILURE).unlink(missing_ok=True)
    file_channel = {"TrainingInputMode": "File", "S3DistributionType": "FullyReplicated", "RecordWrapperType": "None"}
    documents = {
        "hyperparameters": {name: str(value) for name, value in hyperparameters.items()},
        "inputdataconfig": dict.fromkeys(channels, file_channel),
        "resourceconfig": {"current_host": HOST, "hosts": [HOST], "network_interface_name": "eth0"},
    }
    for name, document in documents.items():
        (config / f"{name}.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def link_channels(out: Path, channels: Mapping[str, Path]) -> None:
    """Make OUT/input/data/<channel> links to the folders, and remove a former job's. Raise ``LocalError``."""
    data = out / contract.INPUT_DATA
    data.mkdir(parents=True, exist_ok=True)
    for link in data.iterdir():
        if link.is_symlink():
            link.unlink()
    for channel, folder in channels.items():
        place = data / channel
        if place.exists() and place.resolve() != folder:
            # not a link, so not ours to remove
            raise LocalError(f"{place} is in the way: name another OUT, or move it")
        if not place.exists():
            place.symlink_to(folder, target_is_directory=True)


def wait_for_job(process: subprocess.Popen[bytes], stop: Callable[[], object]) -> int:
    """Return the exit code of a process in a session of its own; a signal to us stops it, a second one kills it."""
    try:
        code = process.wait()
        return code if code >= 0 else 128 - code
    except KeyboardInterrupt:
        say("stopping the training job")
        try:
            stop()
            process.wait(STOP_SECONDS)
        except (KeyboardInterrupt, subprocess.TimeoutExpired):
            os.killpg(process.pid, signal.SIGKILL)
        raise
