"""Training and serving as plain processes, in the virtual environment ``build/venv``."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from fastai_local import contract, native_endpoint
from fastai_local.disk_space import TEMPORARY_TEST_GB, require_space, temporary_folder
from fastai_local.job import link_channels, wait_for_job
from fastai_local.native import ensure_environment
from fastai_local.ports import wait_until_ready
from fastai_local.process import say, tee
from fastai_local.runtime import Runtime
from fastai_local.settings import Settings


class NativeRuntime(Runtime):
    """Processes of this machine."""

    name = "native"

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def ensure_base(self) -> None:
        say("base: plain processes need no base image")

    def build(self) -> None:
        say(f"build: {ensure_environment(self.settings)} is ready")

    def train(self, out: Path, channels: Mapping[str, Path]) -> int:
        python = ensure_environment(self.settings)
        link_channels(out, channels)
        env = {**os.environ, contract.BASE_DIR_VARIABLE: str(out), "PYTHONUNBUFFERED": "1"}
        command = [str(python), "-m", contract.ENTRY_POINT_MODULE, contract.TRAIN]
        # The job's own folder as cwd, so that nothing of the checkout is importable by accident.
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, cwd=out, env=env, start_new_session=True)
        return wait_for_job(process, process.terminate)

    def serve(self, model: Path, port: int) -> None:
        native_endpoint.start(self.settings, model, port, wait_until_ready)

    def stop(self, port: int) -> None:
        native_endpoint.stop(self.settings.build, port)

    def stop_all(self) -> list[str]:
        return native_endpoint.stop_all(self.settings.build)

    def serving_on(self, port: int) -> str | None:
        pid = native_endpoint.running_pid(self.settings.build, port)
        return f"process {pid}" if pid else None

    def get_sample_data(self, folder: Path) -> tuple[int, str]:
        return tee([str(ensure_environment(self.settings)), "-m", contract.SAMPLE_DATA_MODULE, str(folder)])

    def path_here(self, path: Path, folder: Path) -> Path:
        return folder / path

    def require_space(self, *, strict: bool) -> None:
        require_space([temporary_folder(TEMPORARY_TEST_GB)], strict=strict)
