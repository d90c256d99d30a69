"""The choice between Docker and plain processes."""

from __future__ import annotations

from fastai_local.engine import Engine, find_engine
from fastai_local.errors import EngineUnavailableError
from fastai_local.process import say
from fastai_local.settings import Settings


def choose_runtime(settings: Settings) -> Engine | None:
    """The engine to use, or None for plain processes; says which and why.

    Raises EngineUnavailableError when RUNTIME=docker and no engine answers.
    """
    if settings.runtime == "native":
        say("runtime: native (RUNTIME=native)")
        return None
    try:
        engine = find_engine()
    except EngineUnavailableError as reason:
        if settings.runtime == "docker":
            raise EngineUnavailableError(f"RUNTIME=docker, but {reason}; or use RUNTIME=native") from reason
        say(f"runtime: native ({reason})")
        return None
    why = "RUNTIME=docker" if settings.runtime else f"engine {engine.server_version} answers"
    say(f"runtime: docker ({why})")
    return engine
