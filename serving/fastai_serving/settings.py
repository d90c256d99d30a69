"""The environment's settings for serving, checked once at start.

Names are SageMaker's (CONTRACT, section 2), taken from sagemaker-inference.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from sagemaker_inference import parameters

from fastai_container.errors import UserError
from fastai_container.resources import cpu_count
from fastai_serving.answers import JSON, RequestError, choose_format

DEFAULT_PORT = 8080
#: MMS refuses any port that is not a signed 16-bit number.
HIGHEST_PORT = 32766
DEFAULT_TIMEOUT_SECONDS = 60
#: SageMaker's own default limit of a request is 6 MB; MMS's is 6,553,500 bytes.
DEFAULT_MAX_PAYLOAD_MB = 6
#: How the supervisor tells a worker its share of the cores.
THREADS_ENV = "FASTAI_SAGEMAKER_THREADS"


class SettingError(UserError):
    """An environment variable with a value that it can't have."""


def _integer(environment: Mapping[str, str], name: str, default: int | None, low: int, high: int) -> int | None:
    text = environment.get(name, "").strip()
    if not text:
        return default
    if not text.isdecimal() or not low <= int(text) <= high:
        raise SettingError(f"the environment variable {name}={text!r} must be a whole number from {low} to {high}")
    return int(text)


def _port(environment: Mapping[str, str]) -> int:
    port = _integer(environment, parameters.BIND_TO_PORT_ENV, DEFAULT_PORT, 1, HIGHEST_PORT)
    assert port is not None
    return port


@dataclass(frozen=True)
class Settings:
    """``timeout_seconds`` is how long a worker may take for a request; ``max_payload_bytes`` limits a request's body."""

    port: int
    workers: int
    threads: int
    timeout_seconds: int
    max_payload_bytes: int
    jvm_arguments: tuple[str, ...]

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Settings:
        """Raises SettingError for the first value that can't be."""
        cores = cpu_count()
        workers = _integer(environment, parameters.MODEL_SERVER_WORKERS_ENV, cores, 1, 256)
        timeout = _integer(environment, parameters.MODEL_SERVER_TIMEOUT_ENV, DEFAULT_TIMEOUT_SECONDS, 1, 86_400)
        timeout = _integer(environment, parameters.MODEL_SERVER_TIMEOUT_SECONDS_ENV, timeout, 1, 86_400)
        payload = _integer(environment, parameters.MAX_REQUEST_SIZE, DEFAULT_MAX_PAYLOAD_MB, 1, 2047)
        assert workers is not None and timeout is not None and payload is not None
        WorkerSettings.from_environment(environment)
        return cls(
            port=_port(environment),
            workers=workers,
            threads=max(1, cores // workers),
            timeout_seconds=timeout,
            max_payload_bytes=payload * 1024 * 1024,
            jvm_arguments=tuple(environment.get(parameters.MODEL_SERVER_VMARGS, "").split()),
        )


@dataclass(frozen=True)
class WorkerSettings:
    """What a worker needs to know."""

    threads: int
    default_accept: str

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> WorkerSettings:
        threads = _integer(environment, THREADS_ENV, 1, 1, 1024)
        assert threads is not None
        accept = environment.get(parameters.DEFAULT_INVOCATIONS_ACCEPT_ENV, "").strip() or JSON
        try:
            choose_format(accept)
        except RequestError as error:
            raise SettingError(f"the environment variable {parameters.DEFAULT_INVOCATIONS_ACCEPT_ENV}: {error}") from None
        return cls(threads=threads, default_accept=accept)
