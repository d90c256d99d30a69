"""`make serve` and `make stop`: an endpoint on this machine, in a container or as plain processes."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import socket
import stat
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

from fastai_local import native_endpoint
from fastai_local.engine import Engine, find_engine
from fastai_local.errors import EngineUnavailableError, LocalError, UsageError
from fastai_local.images import require_image
from fastai_local.job import mount, require_folder
from fastai_local.process import error_in, last_line, say
from fastai_local.runtime import choose_runtime
from fastai_local.settings import Settings

READY_SECONDS = 120
STOP_SECONDS = 30  # between SIGTERM and SIGKILL, as on SageMaker
LABEL = "fastai-sagemaker.local=1"
LOG_LINES = 30
# localhost never goes through the machine's proxy
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def address(port: int) -> str:
    return f"http://127.0.0.1:{port}"


def container_name(port: int) -> str:
    return f"fastai-sagemaker-serving-{port}"


def require_model(model: Path | None) -> Path:
    """The folder of a trained model. Raises UsageError with what was found instead."""
    folder = require_folder("MODEL", model, "name a model folder, as in MODEL=build/train/model")
    if (folder / "model.json").is_file():
        return folder
    if (folder / "model" / "model.json").is_file():
        raise UsageError(f"MODEL={folder} is a job's folder: pass its model, MODEL={folder / 'model'}")
    names = sorted(path.name for path in folder.iterdir())
    found = ", ".join(names[:5]) + (", …" if len(names) > 5 else "") if names else "nothing"
    if "model.tar.gz" in names:
        raise UsageError(f"MODEL={folder} holds model.tar.gz: unpack it into a folder and pass that")
    raise UsageError(f"MODEL={folder} has no model.json (it holds {found}): pass the folder that training wrote")


def require_readable(model: Path) -> None:
    """Raises LocalError when the container's own user, who is nobody here, couldn't read the model."""
    for path in (model, *model.rglob("*")):
        mode = path.stat().st_mode
        need = stat.S_IROTH | (stat.S_IXOTH if stat.S_ISDIR(mode) else 0)
        if mode & need != need:
            raise LocalError(f"{path} can't be read by other users, as the server is one: chmod -R o+rX {model}")


def port_is_free(port: int) -> bool:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a closed endpoint's last connections
        try:
            listener.bind(("127.0.0.1", port))
        except PermissionError:
            return True  # below 1024 only root may listen, which the engine is
        except OSError:
            return False
    return True


def free_port() -> int:
    """A port that nobody listens on, among those that multi-model-server takes."""
    lowest, highest = 20000, native_endpoint.HIGHEST_PORT
    start = random.randrange(lowest, highest)  # noqa: S311 - no secret
    for port in (*range(start, highest), *range(lowest, start)):
        if port_is_free(port):
            return port
    raise LocalError(f"no port between {lowest} and {highest} is free: pass PORT=")


def who_serves(settings: Settings, engine: Engine | None, port: int) -> str | None:
    """The endpoint of ours on that port, in words."""
    pid = native_endpoint.running_pid(settings.build, port)
    if pid:
        return f"process {pid}"
    if engine is None:
        with contextlib.suppress(EngineUnavailableError):
            engine = find_engine()
    if engine:
        name = container_name(port)
        state = engine.capture("container", "inspect", "--format", "{{.State.Status}}", name).out.strip()
        if state in ("running", "paused", "restarting"):
            return f"the container {name}"
    return None


def require_port(settings: Settings, engine: Engine | None, port: int) -> None:
    """Raises LocalError when the port is taken; says so if it is by an endpoint of ours."""
    if port_is_free(port):
        return
    ours = who_serves(settings, engine, port)
    if ours:
        raise LocalError(f"port {port} already has an endpoint of ours ({ours}): run `make stop`, or pass PORT=")
    raise LocalError(f"port {port} is in use by another program: pass another PORT=, such as PORT={free_port()}")


def is_ready(port: int) -> bool:
    try:
        with _opener.open(f"{address(port)}/ping", timeout=2) as answer:
            return bool(answer.status == 200)
    except (OSError, http.client.HTTPException):  # refused, reset, a status that is not 200, half an answer
        return False


def wait_until_ready(port: int, ended: Callable[[], str | None], seconds: float = READY_SECONDS) -> str | None:
    """Waits for /ping to answer 200. Returns None, or the reason why it won't.

    `ended` returns a reason as soon as the server is gone.
    """
    start = time.monotonic()
    shown = 10.0
    while (elapsed := time.monotonic() - start) < seconds:
        if is_ready(port):
            return None
        reason = ended()
        if reason:
            return reason
        if elapsed > shown:
            say(f"serve: waiting for the model, {elapsed:.0f} s")
            shown += 10
        time.sleep(0.25)
    return f"it was not ready in {seconds:.0f} seconds"


def docker_command(settings: Settings, engine: Engine, model: Path, port: int, image: str) -> list[str]:
    """The `docker run` of an endpoint: no rights, nothing writable but /tmp, reachable from this machine only."""
    command = engine.command("run", "--detach", "--name", container_name(port), "--label", LABEL)
    command += ["--publish", f"127.0.0.1:{port}:8080"]
    command += mount(model, "/opt/ml/model", read_only=True)
    command += ["--read-only", "--tmpfs", "/tmp:rw,noexec,nosuid,nodev,mode=1777"]  # noqa: S108
    command += ["--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--shm-size", "1g"]
    command += engine.user_args(os.getuid(), os.getgid()) + engine.label_args()
    if settings.device == "gpu":
        command += ["--gpus", "all"]
    return [*command, image, "serve"]


def serve_docker(settings: Settings, engine: Engine, model: Path, port: int) -> None:
    """Starts an endpoint in a container and waits for it. Raises LocalError."""
    image = require_image(engine, "serving", settings.device)
    if not engine.user_args(os.getuid(), os.getgid()):
        require_readable(model)
    name = container_name(port)
    engine.capture("rm", "--force", name)  # one that ended by itself; a running one was refused above

    def ended() -> str | None:
        state = engine.capture("inspect", "--format", "{{json .State}}", name)
        if not state.ok:
            return "its container is gone"
        values = json.loads(state.out)
        if values["Running"]:
            return None
        return f"it ended with exit code {values['ExitCode']}" + (", out of memory" if values["OOMKilled"] else "")

    try:
        started = engine.capture(*docker_command(settings, engine, model, port, image)[1:])
        if not started.ok:
            engine.capture("rm", "--force", name)
            raise LocalError(f"the endpoint can't be started: {last_line(started.err)}")
        reason = wait_until_ready(port, ended)
    except KeyboardInterrupt:
        engine.capture("rm", "--force", name)
        raise
    if reason:
        logs = engine.capture("logs", "--tail", str(LOG_LINES), name)
        text = logs.out + logs.err
        say(text.rstrip())
        engine.capture("rm", "--force", name)
        raise LocalError(f"the endpoint did not start: {error_in(text) or f'{reason}; its last log lines are above'}")
    say(f"logs: {Path(engine.cli).name} logs -f {name}")


def serve(settings: Settings, engine: Engine | None, model: Path, port: int) -> None:
    """Starts an endpoint and waits until it is ready. Raises LocalError."""
    require_port(settings, engine, port)
    say(f"serve: starting on port {port}")
    if engine:
        serve_docker(settings, engine, model, port)
    else:
        native_endpoint.start(settings, model, port, wait_until_ready)


def serve_command(settings: Settings) -> int:
    """`make serve`."""
    model = require_model(settings.model)
    port = settings.listen_port
    serve(settings, choose_runtime(settings), model, port)
    shown = "" if settings.port is None else f" PORT={port}"
    say(f"endpoint: {address(port)} (GET /ping, POST /invocations)")
    say(f"try it: make predict IMAGE=picture.jpg{shown}")
    say("stop it: make stop")
    return 0


def stop_containers(engine: Engine) -> list[str]:
    """Stops and removes the endpoints of ours that run in containers; returns their names."""
    listed = engine.capture("ps", "--all", "--filter", f"label={LABEL}", "--format", "{{.Names}}")
    names = listed.out.split()
    if names:
        engine.capture("stop", "--time", str(STOP_SECONDS), *names, timeout=STOP_SECONDS + 60)
        removed = engine.capture("rm", "--force", *names)
        if not removed.ok:
            raise LocalError(f"a container can't be removed: {last_line(removed.err)}")
    return names


def stop_all(settings: Settings) -> None:
    """Stops every endpoint of ours, whichever way it runs."""
    stopped = native_endpoint.stop_all(settings.build)
    try:
        stopped += stop_containers(find_engine())
    except EngineUnavailableError as reason:
        if settings.runtime == "docker":
            raise
        if not stopped:
            say(f"stop: no endpoint runs as processes here; containers were not looked for ({reason})")
            return
    say(f"stopped: {', '.join(stopped)}" if stopped else "stop: no endpoint of ours is running")


def stop_command(settings: Settings) -> int:
    """`make stop`."""
    stop_all(settings)
    return 0
