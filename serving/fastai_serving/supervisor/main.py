"""Start multi-model-server on a model folder and look after it; PID 1 of a serving container."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from fastai_container.errors import UserError
from fastai_container.model_folder import files_to_run, load_verified, read_manifest, seal
from fastai_container.paths import MLPaths
from fastai_container.resources import memory_limit_bytes
from fastai_container.sagemaker import SERVING_STOP_SECONDS
from fastai_serving import logs
from fastai_serving.environment import SEAL_ENV, Settings, WorkerSettings, check_memory, unused
from fastai_serving.supervisor import mms_server
from fastai_serving.supervisor.decoy import Decoy
from fastai_serving.user_code import scripts
from fastai_serving.user_code.torch_models import runs_torchscript

logger = logging.getLogger("supervisor")

#: Three seconds before SageMaker's SIGKILL all processes are killed from here, so that the log says why.
STOP_SECONDS = SERVING_STOP_SECONDS - 3
#: Seconds between two looks at the processes.
WATCH_SECONDS = 0.05
#: A reason that the plug-in or a worker leaves in the state folder.
FAILURES = ("failure", "load-failure-model")
_PR_SET_CHILD_SUBREAPER = 36


def check_port(port: int) -> None:
    """Raises UserError when ``port`` can't be listened on."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))  # noqa: S104 - the address that the front end will listen on
        except OSError as error:
            raise UserError(
                f"can't listen on port {port}: {error.strerror}; set SAGEMAKER_BIND_TO_PORT to a free one"
            ) from None


def _adopt_orphans() -> None:
    """Become the parent of workers whose own is killed, as PID 1 is by itself."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


class Supervisor:
    """Watch one front end and its workers until it ends, fails, or is to stop."""

    def __init__(self, process: subprocess.Popen[bytes], state: Path, multi_model: bool) -> None:
        self.process = process
        self.state = state
        self.failures = FAILURES[:1] if multi_model else FAILURES
        self.decoy = Decoy()
        self.stopping_since: float | None = None

    def stop(self, _number: int, _frame: FrameType | None) -> None:
        """Handle SIGTERM: let the front end finish what it has begun."""
        if self.stopping_since is None:
            self.stopping_since = time.monotonic()
            self.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the front end and every process it started: they are one process group."""
        self.decoy.stop()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def _reap(self) -> int | None:
        """Return the front end's wait status once it has ended; reap orphans that come to PID 1 on the way."""
        while True:
            try:
                ended, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return 0
            if ended == 0:
                return None
            if ended == self.process.pid:
                return status
            if ended == self.decoy.pid:
                self.decoy.start()

    def _failure(self) -> str | None:
        for name in self.failures:
            with contextlib.suppress(OSError):
                # One line: it is the last of the log.
                return " ".join((self.state / name).read_text(encoding="utf-8", errors="replace").split())
        return None

    def watch(self) -> int:
        """Wait for the end and return the exit code, 0 after a stop. Raises UserError for any other end.

        The reason is the last line of the log.
        """
        self.decoy.start()  # not before signals are listened to: whoever is stopped meanwhile ends the front end
        while True:
            status = self._reap()
            stopping = self.stopping_since is not None
            failure = None if stopping else self._failure()
            if failure is not None:
                self.kill()
                raise UserError(failure)
            if status is not None:
                if stopping:
                    return 0
                code = os.waitstatus_to_exitcode(status)
                how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit status {code}"
                self.kill()
                raise UserError(f"the model server {how}; the lines above may say why")
            if self.stopping_since is not None and time.monotonic() - self.stopping_since > STOP_SECONDS:
                logger.warning("not all requests were answered in %s s; stopping now", STOP_SECONDS)
                self.kill()
                return 0
            time.sleep(WATCH_SECONDS)


@dataclass(frozen=True)
class Plan:
    """What is about to be served.

    ``what`` says it in words; ``foreign``: whether a script or TorchScript is run in place of the built-in model;
    ``verified``: the seal of the model's files when they were verified (what else a worker opens, it verifies itself).
    """

    folder: Path
    script: scripts.Script | None
    foreign: bool
    what: str
    verified: str = ""


def _plan(settings: Settings, folder: Path, code: Path) -> Plan:
    """Look at the model ``folder`` and at ``code``, /opt/ml/code. Raises UserError for what can't be served."""
    if settings.multi_model:
        return Plan(folder, None, False, "a multi-model endpoint")
    script = scripts.find(folder, code)
    if script is not None:
        return Plan(folder, script, True, f"the script {script.path} with the model in {folder}")
    if runs_torchscript(folder):
        return Plan(folder, None, True, f"the TorchScript file in {folder}")
    check_memory(memory_limit_bytes())
    WorkerSettings.from_environment().check_for_builtin()
    verified = seal(folder, read_manifest(folder))  # before they are: a later change must not be taken for that
    model = load_verified(folder, () if settings.gpus else files_to_run(gpu=False))
    return Plan(folder, None, False, f"{model.arch} ({len(model.vocab)} classes) from {folder}", verified)


def _name_unused_scripts(settings: Settings, plan: Plan, code: Path) -> None:
    """Write into the log which scripts, and variables for scripts, have no effect."""
    told = []
    if settings.multi_model:
        told = scripts.not_for_many(os.environ, kept=settings.worker_credentials is True)
    elif plan.script is None:
        told = scripts.unused(plan.folder, code)
    for sentence in told:
        logger.warning("%s", sentence)


def _find_plugin(settings: Settings) -> Path | None:
    """Find the plug-in; None where there is none and nothing asks for it. Raises UserError where something does."""
    plugin = mms_server.find_plugin()
    if plugin is None:
        if settings.multi_model:
            raise UserError(
                "multi-model endpoints need the plug-in for multi-model-server; use the image or install a JDK"
            )
        if settings.port > mms_server.HIGHEST_PORT_WITHOUT_PLUGIN:
            raise UserError(
                f"multi-model-server alone takes ports up to {mms_server.HIGHEST_PORT_WITHOUT_PLUGIN}; install a JDK"
            )
        logger.warning("no javac, so no plug-in: /ping, batches, draining and 413 are multi-model-server's own")
    return plugin


def run() -> int:
    """Serve /opt/ml/model until SIGTERM; return the container's exit code.

    Raises UserError when the model folder, a setting or the port is not right, the model can't be loaded, or the
    server ends by itself.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)  # until there is something to drain; PID 1 would ignore them
    settings = Settings.from_environment()
    logs.configure_supervisor(settings.log_level, settings.log_format)
    for line in unused():
        logger.warning("%s", line)
    paths = MLPaths.from_environment()
    mms_server.check_environment()
    check_port(settings.port)
    plan = _plan(settings, paths.model.resolve(), paths.code)
    _name_unused_scripts(settings, plan, paths.code)
    plugin = _find_plugin(settings)
    for line in mms_server.unused() if plugin else ():
        logger.warning("%s", line)
    state = Path(tempfile.mkdtemp(prefix="fastai-serving-"))
    supervisor = None
    try:
        supervisor = _start(settings, plan, plugin, paths.base / "models", state)
        signal.signal(signal.SIGTERM, supervisor.stop)
        signal.signal(signal.SIGINT, supervisor.stop)
        return supervisor.watch()
    except UserError as error:
        if settings.log_format == "plain":
            raise  # the entry point writes it
        logger.error("%s", error)
        return 1
    finally:
        if supervisor is not None:
            supervisor.kill()
        shutil.rmtree(state, ignore_errors=True)
        sys.stderr.flush()


def _start(settings: Settings, plan: Plan, plugin: Path | None, models: Path, state: Path) -> Supervisor:
    """Prepare ``state``, the script and its packages in it, and start the front end. Raises UserError.

    ``models``: the folder in which a multi-model endpoint looks for its models.
    """
    environment = mms_server.environment(settings, state, _credentials(settings, plan.script is not None))
    environment[SEAL_ENV] = plan.verified
    if not settings.multi_model:  # there each model brings its own
        environment |= scripts.prepare(plan.script, state)
    values = mms_server.configuration(settings, plan.folder, state, plugin is not None)
    mms_server.write_properties(state / "mms.properties", values)
    preload = mms_server.preloads(settings, plan.foreign)
    properties = mms_server.plugin_properties(
        settings, plan.folder, models, state, script=plan.foreign, preload=preload
    )
    logger.info(
        "serving %s on port %s, %s workers of %s threads, batches of up to %s, %s MB of memory for a picture",
        plan.what, settings.port, settings.workers, settings.threads,
        settings.script_batch_size if plan.foreign else settings.batch_size, settings.picture_mb,
    )  # fmt: skip
    _adopt_orphans()
    # A session of its own: at the end its whole group is ended, the workers too, which MMS leaves behind.
    process = subprocess.Popen(
        mms_server.command(settings, state, plugin, properties if plugin else {}),
        env=environment,
        start_new_session=True,
    )
    return Supervisor(process, state, settings.multi_model)


def _leave(_number: int, _frame: FrameType | None) -> None:
    sys.exit(0)


def _credentials(settings: Settings, script: bool) -> bool:
    """Whether the workers see credentials: only a user's script may have a use for them."""
    return script if settings.worker_credentials is None else settings.worker_credentials
