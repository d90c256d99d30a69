"""The choice between Docker and plain processes, made here and nowhere else."""

from __future__ import annotations

import contextlib

from fastai_local.docker_runtime import DockerRuntime
from fastai_local.engine import find_engine
from fastai_local.errors import EngineUnavailableError
from fastai_local.native_runtime import NativeRuntime
from fastai_local.process import say
from fastai_local.runtime import Runtime
from fastai_local.settings import Settings


def choose_runtime(settings: Settings, *, require_engine: bool = False) -> Runtime:
    """Choose how to run; say which way and why.

    Raise ``EngineUnavailableError`` when no engine can be used although ``RUNTIME=docker`` or the caller asks for one.
    """
    try:
        return _chosen(settings)
    except EngineUnavailableError as reason:
        if settings.runtime == "docker":
            raise EngineUnavailableError(f"RUNTIME=docker, but {reason}; or use RUNTIME=native") from reason
        say(f"runtime: native ({reason})")
    if require_engine:
        raise EngineUnavailableError("REQUIRE_ENGINE=1, but there is no engine to use: the line above says why")
    return NativeRuntime(settings)


def _chosen(settings: Settings) -> DockerRuntime:
    if settings.runtime == "native":
        raise EngineUnavailableError("RUNTIME=native")
    engine = find_engine()
    why = "RUNTIME=docker" if settings.runtime else f"engine {engine.server_version} answers"
    say(f"runtime: docker ({why})")
    return DockerRuntime(settings, engine)


def find_docker_runtime(settings: Settings) -> DockerRuntime:
    """Return the runtime of the engine, whatever ``RUNTIME`` says. Raise ``EngineUnavailableError``."""
    return DockerRuntime(settings, find_engine())


def available_runtimes(settings: Settings) -> list[Runtime]:
    """Return every way in which an endpoint may run here: plain processes, and Docker when an engine answers."""
    runtimes: list[Runtime] = [NativeRuntime(settings)]
    with contextlib.suppress(EngineUnavailableError):
        runtimes.append(find_docker_runtime(settings))
    return runtimes
