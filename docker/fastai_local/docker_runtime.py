"""Training and serving in containers of an engine."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from collections.abc import Mapping
from pathlib import Path

from fastai_local import contract
from fastai_local.base import ensure_base
from fastai_local.disk_space import DOCKER_TEST_GB, TEMPORARY_TEST_GB, require_space, temporary_folder
from fastai_local.engine import Engine
from fastai_local.errors import LocalError
from fastai_local.images import build_images, image_name, require_image
from fastai_local.job import STOP_SECONDS as JOB_STOP_SECONDS
from fastai_local.job import wait_for_job
from fastai_local.mounts import mount
from fastai_local.ports import wait_until_ready
from fastai_local.process import error_in, last_line, say, tee
from fastai_local.runtime import Runtime
from fastai_local.settings import Settings

STOP_SECONDS = 30  # between SIGTERM and SIGKILL, as on SageMaker
LABEL = "fastai-sagemaker.local=1"
LOG_LINES = 30
SAMPLE_FOLDER = "/sample"


def container_name(port: int) -> str:
    return f"fastai-sagemaker-serving-{port}"


def require_readable(model: Path) -> None:
    """Raise ``LocalError`` when the container's own user, who is nobody here, couldn't read the model."""
    for path in (model, *model.rglob("*")):
        mode = path.stat().st_mode
        need = stat.S_IROTH | (stat.S_IXOTH if stat.S_ISDIR(mode) else 0)
        if mode & need != need:
            raise LocalError(f"{path} can't be read by other users, as the server is one: chmod -R o+rX {model}")


def job_command(
    settings: Settings, engine: Engine, out: Path, channels: Mapping[str, Path], name: str, image: str
) -> list[str]:
    """Return the ``docker run`` of a training job."""
    command = engine.command("run", "--rm", "--name", name, "--shm-size", "2g")
    command += engine.user_args(os.getuid(), os.getgid()) + engine.label_args()
    if settings.network:
        command += ["--network", settings.network]
    if settings.device == "gpu":
        command += ["--gpus", "all"]
    command += mount(out / contract.CONFIG, f"{contract.ROOT}/{contract.CONFIG}", read_only=True)
    for channel, folder in channels.items():
        command += mount(folder, f"{contract.ROOT}/{contract.INPUT_DATA}/{channel}", read_only=True)
    for part in (contract.MODEL, contract.OUTPUT, contract.CHECKPOINTS):
        command += mount(out / part, f"{contract.ROOT}/{part}")
    return [*command, image, contract.TRAIN]


def endpoint_command(settings: Settings, engine: Engine, model: Path, port: int, image: str) -> list[str]:
    """Return the ``docker run`` of an endpoint: no rights, nothing writable but /tmp, for this machine only."""
    command = engine.command("run", "--detach", "--name", container_name(port), "--label", LABEL)
    command += ["--publish", f"127.0.0.1:{port}:{contract.SERVING_PORT}"]
    command += mount(model, f"{contract.ROOT}/{contract.MODEL}", read_only=True)
    command += ["--read-only", "--tmpfs", "/tmp:rw,noexec,nosuid,nodev,mode=1777"]  # noqa: S108
    command += ["--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--shm-size", "1g"]
    command += engine.user_args(os.getuid(), os.getgid()) + engine.label_args()
    if settings.device == "gpu":
        command += ["--gpus", "all"]
    return [*command, image, contract.SERVE]


def stop_containers(engine: Engine) -> list[str]:
    """Stop and remove the endpoints of ours that run in containers; return their names."""
    listed = engine.capture("ps", "--all", "--filter", f"label={LABEL}", "--format", "{{.Names}}")
    names = listed.out.split()
    if names:
        engine.capture("stop", "--time", str(STOP_SECONDS), *names, timeout=STOP_SECONDS + 60)
        removed = engine.capture("rm", "--force", *names)
        if not removed.ok:
            raise LocalError(f"a container can't be removed: {last_line(removed.err)}")
    return names


class DockerRuntime(Runtime):
    """Containers of the images that ``make build`` made. Another engine's client would be another subclass."""

    name = "docker"

    def __init__(self, settings: Settings, engine: Engine) -> None:
        self.settings = settings
        self.engine = engine

    def ensure_base(self) -> None:
        ensure_base(self.settings, self.engine)

    def build(self) -> None:
        build_images(self.settings, self.engine)

    def train(self, out: Path, channels: Mapping[str, Path]) -> int:
        image = require_image(self.engine, "training", self.settings.device)
        name = f"fastai-sagemaker-train-{os.getpid()}"
        command = job_command(self.settings, self.engine, out, channels, name, image)
        # A session of its own keeps the terminal's Ctrl-C from the client, which would turn it into SIGINT.
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)

        def stop() -> None:
            self.engine.capture("stop", "--time", str(JOB_STOP_SECONDS), name, timeout=JOB_STOP_SECONDS + 30)

        return wait_for_job(process, stop)

    def serve(self, model: Path, port: int) -> None:
        engine = self.engine
        image = require_image(engine, "serving", self.settings.device)
        if not engine.user_args(os.getuid(), os.getgid()):
            require_readable(model)
        name = container_name(port)
        engine.capture("rm", "--force", name)  # one that ended by itself; a running one was refused before
        try:
            started = engine.capture(*endpoint_command(self.settings, engine, model, port, image)[1:])
            if not started.ok:
                engine.capture("rm", "--force", name)
                raise LocalError(f"the endpoint can't be started: {last_line(started.err)}")
            reason = wait_until_ready(port, lambda: self._why_ended(name))
        except KeyboardInterrupt:
            engine.capture("rm", "--force", name)
            raise
        if reason:
            logs = engine.capture("logs", "--tail", str(LOG_LINES), name)
            text = logs.out + logs.err
            say(text.rstrip())
            engine.capture("rm", "--force", name)
            why = error_in(text) or f"{reason}; its last log lines are above"
            raise LocalError(f"the endpoint did not start: {why}")
        say(f"logs: {Path(engine.cli).name} logs -f {name}")

    def _why_ended(self, name: str) -> str | None:
        state = self.engine.capture("inspect", "--format", "{{json .State}}", name)
        if not state.ok:
            return "its container is gone"
        values = json.loads(state.out)
        if values["Running"]:
            return None
        return f"it ended with exit code {values['ExitCode']}" + (", out of memory" if values["OOMKilled"] else "")

    def stop(self, port: int) -> None:
        name = container_name(port)
        self.engine.capture("stop", "--time", str(STOP_SECONDS), name, timeout=STOP_SECONDS + 30)
        self.engine.capture("rm", "--force", name)

    def stop_all(self) -> list[str]:
        return stop_containers(self.engine)

    def serving_on(self, port: int) -> str | None:
        name = container_name(port)
        state = self.engine.capture("container", "inspect", "--format", "{{.State.Status}}", name).out.strip()
        return f"the container {name}" if state in ("running", "paused", "restarting") else None

    def get_sample_data(self, folder: Path) -> tuple[int, str]:
        engine = self.engine
        command = engine.command("run", "--rm", *engine.user_args(os.getuid(), os.getgid()), *engine.label_args())
        if self.settings.network:
            command += ["--network", self.settings.network]
        command += [*mount(folder, SAMPLE_FOLDER), image_name("training", self.settings.device)]
        return tee([*command, "python3", "-m", contract.SAMPLE_DATA_MODULE, SAMPLE_FOLDER])

    def path_here(self, path: Path, folder: Path) -> Path:
        return folder / (path.relative_to(SAMPLE_FOLDER) if path.is_absolute() else path)

    def require_space(self, *, strict: bool) -> None:
        root = Path(self.engine.data_root or "/var/lib/docker")
        disks = [("Docker's disk", root, DOCKER_TEST_GB, "docker system prune, or make room there")]
        # An engine in a virtual machine has its folder on another disk, which can't be measured from here.
        disks = disks if root.exists() else []
        require_space([*disks, temporary_folder(TEMPORARY_TEST_GB)], strict=strict)
