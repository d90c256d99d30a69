"""A training job: the tree that stands for /opt/ml, and the program run on it."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from fastai_local.engine import Engine
from fastai_local.errors import LocalError, UsageError
from fastai_local.images import require_image
from fastai_local.native import ensure_environment
from fastai_local.process import say
from fastai_local.runtime import choose_runtime
from fastai_local.settings import Settings

STOP_SECONDS = 120  # between SIGTERM and SIGKILL, as on SageMaker
DEFAULT_OUT = "train"
HOST = "algo-1"


def require_folder(variable: str, path: Path | None, example: str) -> Path:
    """Raises UsageError unless the variable names a folder that is there."""
    if path is None:
        raise UsageError(f"{variable} is missing: {example}")
    if not path.exists():
        raise UsageError(f"{variable}={path}: there is no such folder ({example})")
    if not path.is_dir():
        raise UsageError(f"{variable}={path} is not a folder ({example})")
    return path


def channels_of(settings: Settings) -> dict[str, Path]:
    """The input channels by name. Raises UsageError."""
    channels = {"training": require_folder("DATA", settings.data, "name the folder of pictures, DATA=path/to/images")}
    if settings.validation:
        channels["validation"] = require_folder("VALIDATION", settings.validation, "name a folder of pictures")
    if settings.weights:
        channels["weights"] = require_folder("WEIGHTS", settings.weights, "name a folder of pretrained weights")
    return channels


def write_tree(out: Path, channels: Mapping[str, Path], hyperparameters: Mapping[str, str]) -> None:
    """Lays out a job's folder as SageMaker does. What a former job failed of is removed, its model is not."""
    config = out / "input" / "config"
    for folder in (config, out / "model", out / "output" / "data", out / "checkpoints"):
        folder.mkdir(parents=True, exist_ok=True)
    (out / "output" / "failure").unlink(missing_ok=True)
    file_channel = {"TrainingInputMode": "File", "S3DistributionType": "FullyReplicated", "RecordWrapperType": "None"}
    documents = {
        "hyperparameters": {name: str(value) for name, value in hyperparameters.items()},
        "inputdataconfig": dict.fromkeys(channels, file_channel),
        "resourceconfig": {"current_host": HOST, "hosts": [HOST], "network_interface_name": "eth0"},
    }
    for name, document in documents.items():
        (config / f"{name}.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def mount(source: Path, target: str, *, read_only: bool = False) -> list[str]:
    """The option of a bind mount. Written as CSV, because a path can hold a comma (or a colon, which -v can't)."""
    fields = ["type=bind", f"source={source}", f"target={target}", *(["readonly"] if read_only else [])]
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(fields)
    return ["--mount", text.getvalue()]


def docker_command(
    settings: Settings, engine: Engine, out: Path, channels: Mapping[str, Path], name: str, image: str
) -> list[str]:
    """The `docker run` of a training job."""
    command = engine.command("run", "--rm", "--name", name, "--shm-size", "2g")
    command += engine.user_args(os.getuid(), os.getgid()) + engine.label_args()
    if settings.network:
        command += ["--network", settings.network]
    if settings.device == "gpu":
        command += ["--gpus", "all"]
    command += mount(out / "input" / "config", "/opt/ml/input/config", read_only=True)
    for channel, folder in channels.items():
        command += mount(folder, f"/opt/ml/input/data/{channel}", read_only=True)
    for part in ("model", "output", "checkpoints"):
        command += mount(out / part, f"/opt/ml/{part}")
    return [*command, image, "train"]


def run_docker(settings: Settings, engine: Engine, out: Path, channels: Mapping[str, Path]) -> int:
    """Trains in a container; Ctrl-C and SIGTERM stop it as SageMaker stops a job."""
    image = require_image(engine, "training", settings.device)
    name = f"fastai-sagemaker-train-{os.getpid()}"
    command = docker_command(settings, engine, out, channels, name, image)
    # A session of its own keeps the terminal's Ctrl-C from the client, which would turn it into SIGINT
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)

    def stop() -> None:
        engine.capture("stop", "--time", str(STOP_SECONDS), name, timeout=STOP_SECONDS + 30)

    return _wait(process, stop)


def link_channels(out: Path, channels: Mapping[str, Path]) -> None:
    """Makes OUT/input/data/<channel> links to the folders, and removes a former job's. Raises LocalError."""
    data = out / "input" / "data"
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


def run_native(settings: Settings, out: Path, channels: Mapping[str, Path]) -> int:
    """Trains in a plain process, with OUT standing for /opt/ml."""
    python = ensure_environment(settings)
    link_channels(out, channels)
    env = {**os.environ, "SAGEMAKER_BASE_DIR": str(out), "PYTHONUNBUFFERED": "1"}
    command = [str(python), "-m", "fastai_sagemaker", "train"]
    # cwd: nothing of the checkout is importable by accident
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, cwd=out, env=env, start_new_session=True)
    return _wait(process, process.terminate)


def _wait(process: subprocess.Popen[bytes], stop: Callable[[], object]) -> int:
    """The exit code of a process in a session of its own; a signal to us stops it, a second one kills it."""
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


def report_failure(out: Path, code: int) -> LocalError:
    """The error of a job that ended with a code: its own sentence, last."""
    failure = out / "output" / "failure"
    try:
        reason = failure.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        reason = "no reason was left in output/failure; its log is above"
    if code == 137:
        reason += " (killed: out of memory? try a smaller batch_size or image_size in HP)"
    return LocalError(f"training failed: {reason}", exit_code=code if 0 < code < 256 else 1)


def train(settings: Settings, engine: Engine | None, out: Path) -> None:
    """Runs one job and leaves its model in OUT/model. Raises LocalError with the job's exit code."""
    channels = channels_of(settings)
    if out.exists() and not out.is_dir():
        raise UsageError(f"OUT={out} is a file: name a folder")
    try:
        write_tree(out, channels, settings.hyperparameters)
    except PermissionError as error:
        raise LocalError(f"OUT={out} can't be written ({error.strerror}: {error.filename}): name another OUT") from None
    run = run_native(settings, out, channels) if engine is None else run_docker(settings, engine, out, channels)
    if run != 0:
        raise report_failure(out, run)


def train_command(settings: Settings) -> int:
    """`make train`."""
    channels_of(settings)  # a wrong DATA is an error before anything is set up
    out = settings.out or settings.build / DEFAULT_OUT
    train(settings, choose_runtime(settings), out)
    say(f"model: {out / 'model'}")
    say(f"next: make serve MODEL={out / 'model'}")
    return 0
