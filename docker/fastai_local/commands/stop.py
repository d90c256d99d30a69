"""``make stop``: ends the endpoints of this machine."""

from __future__ import annotations

from fastai_local.choose_runtime import find_docker_runtime
from fastai_local.errors import EngineUnavailableError
from fastai_local.native_runtime import NativeRuntime
from fastai_local.process import say
from fastai_local.registry import command
from fastai_local.settings import Settings


@command("stop", "", "stops the endpoints")
def stop_command(settings: Settings) -> int:
    """Stop every endpoint of ours, whichever way it runs."""
    stopped = NativeRuntime(settings).stop_all()
    try:
        stopped += find_docker_runtime(settings).stop_all()
    except EngineUnavailableError as reason:
        if settings.runtime == "docker":
            raise
        if not stopped:
            say(f"stop: no endpoint runs as processes here; containers were not looked for ({reason})")
            return 0
    say(f"stopped: {', '.join(stopped)}" if stopped else "stop: no endpoint of ours is running")
    return 0
