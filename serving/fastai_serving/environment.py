"""Read serving's settings from environment variables, once at the start.

Names that begin with ``SAGEMAKER`` are SageMaker's (taken from sagemaker-inference), the others are this project's.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata

from sagemaker_inference import parameters

from fastai_container.errors import UserError
from fastai_container.picture_limits import MAX_PICTURE_BYTES, MAX_PIXELS, MIN_PICTURE_BYTES
from fastai_container.resources import cpu_count, free_memory_bytes, gpu_count, memory_limit_bytes
from fastai_container.sagemaker import DEFAULT_MAX_PAYLOAD_MB, INVOCATION_SECONDS, SERVING_PORT
from fastai_serving.media_types import content_type_for, printable
from fastai_serving.response_formats import choose_format
from fastai_serving.responses import JSON, RequestError, echo

MB = 1024 * 1024
DEFAULT_PORT = SERVING_PORT
DEFAULT_TIMEOUT_SECONDS = INVOCATION_SECONDS
#: sagemaker-inference's default.
DEFAULT_STARTUP_SECONDS = 600
#: In a batch of 8, a forward pass on one core is 1.4 times as fast per picture; larger batches gain hardly more.
DEFAULT_BATCH_SIZE = 8
DEFAULT_BATCH_SIZE_GPU = 32
#: multi-model-server's default.
DEFAULT_QUEUE_SIZE = 100
#: A client that is still connected sends something within this time.
DEFAULT_BODY_SECONDS = 30
#: Measured: a worker with OpenVINO and a model of 20 MB takes 110 to 190 MB, and up to 280 MB while it draws PNGs.
WORKER_MB = 256
#: Measured with a built-in model of 5 MB and a cold page cache: with 220 MB the server is ready after 3 s, with 200 MB
#: not even after 60 s, because programs and libraries no longer stay in the page cache. A small script takes 140 MB.
LEAST_MEMORY_MB = 220
#: Each further model of a multi-model endpoint, as long as it draws no PNG.
MODEL_MB = 192
#: What the JVM takes beyond its heap: code and threads (70 MB), and the buffers for requests and responses.
JVM_EXTRA_MB = 128
DEFAULT_HEAP_MB = 256
MIN_HEAP_MB = 64
#: The part of the heap that the front end itself takes: its objects, connections, the log.
HEAP_OWN_MB = 32
#: Of the rest of the heap a third is for requests' bodies and a third for responses. The last third is slack: the
#: collector has two generations, moves live objects and can't fill either generation completely, and the bodies of
#: batches in progress count once more, for at most half as much again.
HEAP_SHARE = 3
HIGHEST_MAX_PIXELS = 1_000_000_000
#: A response may have this many MiB, or as many as a request if that is more.
MIN_RESPONSE_MB = 64
HIGHEST_PICTURE_MB = 1_000_000

BATCH_SIZE_ENV = "FASTAI_SAGEMAKER_BATCH_SIZE"
BATCH_DELAY_ENV = "FASTAI_SAGEMAKER_BATCH_DELAY_MS"
QUEUE_SIZE_ENV = "FASTAI_SAGEMAKER_QUEUE_SIZE"
MAX_PIXELS_ENV = "FASTAI_SAGEMAKER_MAX_PIXELS"
PICTURE_MEMORY_ENV = "FASTAI_SAGEMAKER_PICTURE_MEMORY_MB"
BODY_TIMEOUT_ENV = "FASTAI_SAGEMAKER_BODY_TIMEOUT"
MODEL_MEMORY_ENV = "FASTAI_SAGEMAKER_MODEL_MEMORY_MB"
CREDENTIALS_ENV = "FASTAI_SAGEMAKER_WORKER_CREDENTIALS"
LOG_FORMAT_ENV = "FASTAI_SAGEMAKER_LOG_FORMAT"
LOG_LEVEL_ENV = parameters.LOG_LEVEL_ENV
#: multi-model-server's own variable, which overrides our configuration.
MAX_RESPONSE_ENV = "MMS_MAX_RESPONSE_SIZE"
#: By these the supervisor tells a worker its share of the cores, and the folder for the reason of a failure.
THREADS_ENV = "FASTAI_SAGEMAKER_THREADS"
STATE_ENV = "FASTAI_SAGEMAKER_STATE"
#: The seal (fastai_container.model_folder) of the files that the supervisor verified; empty when it verified none.
SEAL_ENV = "FASTAI_SAGEMAKER_SEAL"
#: The user's script that the supervisor found ("" for none, not set on a multi-model endpoint), and the folder with the
#: packages of its requirements.txt.
SCRIPT_ENV = "FASTAI_SAGEMAKER_SCRIPT"
PACKAGES_ENV = "FASTAI_SAGEMAKER_PACKAGES"
FRONT_END_LOG_LEVEL_ENV = "FASTAI_SAGEMAKER_LOG_LEVEL"
MMS_LOG_LEVEL_ENV = "FASTAI_SAGEMAKER_MMS_LOG_LEVEL"

_LEVELS = {"10": "DEBUG", "20": "INFO", "30": "WARNING", "40": "ERROR", "50": "CRITICAL"}
_LOG_FORMATS = ("plain", "json")
_TRUTH = dict.fromkeys(("true", "1", "yes", "on"), "true") | dict.fromkeys(("false", "0", "no", "off"), "false")
#: ASCII digits only, and not thousands of them: ``int()`` refuses those with an error of its own.
_WHOLE_NUMBER = re.compile(r"[0-9]{1,15}")
#: This project's variables that a user may set; serving/README.md describes each in full.
USER_VARIABLES = {
    BATCH_SIZE_ENV: "requests of one forward pass at most",
    BATCH_DELAY_ENV: "how long a batch waits for more requests",
    QUEUE_SIZE_ENV: "requests that may wait",
    MAX_PIXELS_ENV: "the largest picture, in pixels",
    PICTURE_MEMORY_ENV: "what decoding one picture may take",
    BODY_TIMEOUT_ENV: "seconds without progress after which a request that is arriving is given up",
    MODEL_MEMORY_ENV: "what one model of a multi-model endpoint may take",
    CREDENTIALS_ENV: "whether the workers see AWS credentials",
    LOG_FORMAT_ENV: "plain or json",
}
#: Variables that only the supervisor sets, for its workers and for the front end's log (log4j2.xml).
SUPERVISOR_VARIABLES = {
    THREADS_ENV: "a worker's share of the cores",
    STATE_ENV: "the folder in which a worker leaves the reason of a failure",
    SEAL_ENV: "the seal of the files that were verified",
    SCRIPT_ENV: "the user's script",
    PACKAGES_ENV: "the folder of the script's packages",
    FRONT_END_LOG_LEVEL_ENV: "the plug-in's level, in log4j's words",
    MMS_LOG_LEVEL_ENV: "multi-model-server's own level",
}
#: SageMaker's variables, ours, and training's, which may be set in the same environment.
_KNOWN = USER_VARIABLES.keys() | {
    *(value for name, value in vars(parameters).items() if name.isupper() and isinstance(value, str)),
    *("SAGEMAKER_SUBMIT_DIRECTORY", "FASTAI_SAGEMAKER_WEIGHTS"),
}


class SettingError(UserError):
    """An environment variable has a value that it can't have."""


def _integer(environment: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    text = environment.get(name, "").strip()
    if not text:
        return default
    if not _WHOLE_NUMBER.fullmatch(text) or not low <= int(text) <= high:
        raise SettingError(f"the environment variable {name}={echo(text)} must be a whole number from {low} to {high}")
    return int(text)


def _word(environment: Mapping[str, str], name: str, default: str, known: tuple[str, ...]) -> str:
    text = environment.get(name, "").strip().lower() or default
    if text not in known:
        raise SettingError(f"the environment variable {name}={echo(text)} must be one of {', '.join(known)}")
    return text


def _truth(environment: Mapping[str, str], name: str, default: str, *others: str) -> str:
    """Return "true" or "false" for any usual word for either, or one of ``others``. Raise ``SettingError``."""
    text = _word(environment, name, default, (*others, *_TRUTH))
    return _TRUTH.get(text, text)


def not_used(name: str, near: Sequence[str] = ()) -> str:
    """Return the sentence for a variable that has no effect; ``near`` begins with the one that may be meant."""
    return f"the environment variable {name} is not used" + (f"; did you mean {near[0]}?" if near else "")


def unused(environment: Mapping[str, str] = os.environ) -> list[str]:
    """Return a sentence for each variable that looks like a setting but is none, with the nearest that is one.

    SageMaker sets variables of its own. So a variable that begins with ``SAGEMAKER_`` is named only when its name is
    nearly that of a setting, or when it is TorchServe's.
    """
    lines = []
    for name in sorted(environment):
        if name in _KNOWN or not name.startswith(("FASTAI_SAGEMAKER_", "SAGEMAKER_")):
            continue
        ours = name.startswith("FASTAI_SAGEMAKER_")
        near = difflib.get_close_matches(name, _KNOWN, n=1, cutoff=0.8 if ours else 0.84)
        if ours or near or name.startswith("SAGEMAKER_TS_"):
            lines.append(not_used(name, near))
    return lines


def max_response_bytes(environment: Mapping[str, str]) -> int:
    """Return the limit of a response's body, in bytes: a PNG or a script's response may be larger than its request."""
    payload = _integer(environment, parameters.MAX_REQUEST_SIZE, DEFAULT_MAX_PAYLOAD_MB, 1, 2047)
    own = max(payload, MIN_RESPONSE_MB) * MB
    return _integer(environment, MAX_RESPONSE_ENV, own, 1, 2047 * MB)


def log_level(environment: Mapping[str, str] = os.environ) -> str:
    """Return ``SAGEMAKER_CONTAINER_LOG_LEVEL`` as Python names it: SageMaker writes 20, people write info."""
    text = environment.get(LOG_LEVEL_ENV, "").strip().upper() or "INFO"
    level = _LEVELS.get(text, text)
    if level not in _LEVELS.values():
        known = ", ".join([*_LEVELS, *(name.lower() for name in _LEVELS.values())])
        raise SettingError(f"the environment variable {LOG_LEVEL_ENV}={echo(text)} must be one of {known}")
    return level


def check_memory(limit: int | None) -> None:
    """Raise ``SettingError`` when the memory ``limit`` (bytes) is less than the built-in model needs."""
    if limit is not None and limit < LEAST_MEMORY_MB * MB:
        raise SettingError(
            f"the memory limit of {limit // MB} MB is too small to serve this model; give the container at least "
            f"{LEAST_MEMORY_MB} MB"
        )


def heap_mb(payload_mb: int, limit: int | None) -> int:
    """Return the size of the JVM's heap in MB: a front end needs little, but a few of the largest requests must fit.

    Raise ``SettingError`` when not even one of them fits into the front end's part of the memory ``limit`` (bytes).
    """
    least = HEAP_OWN_MB + HEAP_SHARE * payload_mb
    wanted = max(DEFAULT_HEAP_MB, least + payload_mb)
    if limit is None:
        return wanted
    most = limit // MB // 4
    if payload_mb > DEFAULT_MAX_PAYLOAD_MB and least > most:
        fits = max(DEFAULT_MAX_PAYLOAD_MB, (most - HEAP_OWN_MB) // HEAP_SHARE)
        raise SettingError(
            f"the environment variable {parameters.MAX_REQUEST_SIZE}={payload_mb}: requests of that size don't fit "
            f"into the memory limit of {limit // MB} MB; set at most {fits}, or give the container more memory"
        )
    return max(MIN_HEAP_MB, least, min(wanted, limit // MB // 6))


def held_mb(heap: int) -> int:
    """Return how many MB of requests' bodies fit into the heap at once; the same number of MB is for responses."""
    return (heap - HEAP_OWN_MB) // HEAP_SHARE


def usable_gpus() -> int:
    """Count the GPUs that this image's torch can use, without importing torch: that would load CUDA before the fork."""
    try:
        version = metadata.version("torch")
    except metadata.PackageNotFoundError:
        return 0
    return 0 if version.endswith("+cpu") else gpu_count()


def default_picture_mb(free: int | None, heap: int, workers: int) -> int:
    """Return the MB that decoding one picture may take: what a worker's share of ``free`` bytes (or None) leaves."""
    highest, lowest = MAX_PICTURE_BYTES // MB, MIN_PICTURE_BYTES // MB
    if free is None:
        return highest
    share = (free // MB - heap - JVM_EXTRA_MB) // workers - MODEL_MB  # while it decodes, a worker draws no PNG
    return max(lowest, min(highest, share))


def default_workers(cores: int, gpus: int, limit: int | None, heap: int) -> int:
    """Return one worker for each GPU, or for each core as far as the memory ``limit`` (bytes) allows."""
    if gpus:
        return gpus
    if limit is None:
        return cores
    return max(1, min(cores, (limit // MB - heap - JVM_EXTRA_MB) // WORKER_MB))


@dataclass(frozen=True)
class Settings:
    """Serving's settings.

    ``timeout_seconds``: how long a worker may take for a request; ``max_payload_bytes``: the limit of a request's body;
    ``script_batch_size``: for a model with a user's script, which works on one request after the other;
    ``body_seconds``: how long an arriving request may make no progress before it is given up.
    """

    port: int
    workers: int
    threads: int
    gpus: int
    timeout_seconds: int
    startup_seconds: int
    body_seconds: int
    max_payload_bytes: int
    batch_size: int
    script_batch_size: int
    batch_delay_ms: int
    queue_size: int
    max_pixels: int
    picture_mb: int
    heap_mb: int
    model_memory_mb: int
    multi_model: bool
    worker_credentials: bool | None
    log_level: str
    log_format: str
    jvm_arguments: tuple[str, ...]

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Settings:
        """Read all settings. Raise ``SettingError`` for the first value that is not allowed."""
        cores, gpus, limit = cpu_count(), usable_gpus(), memory_limit_bytes()
        multi_model = _truth(environment, parameters.MULTI_MODEL_ENV, "false") == "true"
        payload = _integer(environment, parameters.MAX_REQUEST_SIZE, DEFAULT_MAX_PAYLOAD_MB, 1, 2047)
        heap = heap_mb(payload, limit)
        # On a multi-model endpoint each model has workers of its own, and each worker takes memory.
        default = 1 if multi_model else default_workers(cores, gpus, limit, heap)
        workers = _integer(environment, parameters.MODEL_SERVER_WORKERS_ENV, default, 1, 256)
        timeout = _integer(environment, parameters.MODEL_SERVER_TIMEOUT_ENV, DEFAULT_TIMEOUT_SECONDS, 1, 86_400)
        timeout = _integer(environment, parameters.MODEL_SERVER_TIMEOUT_SECONDS_ENV, timeout, 1, 86_400)
        batch = DEFAULT_BATCH_SIZE_GPU if gpus else DEFAULT_BATCH_SIZE
        credentials = _truth(environment, CREDENTIALS_ENV, "auto", "auto")
        # On a multi-model endpoint, as many workers may decode at once as there are cores.
        picture = default_picture_mb(free_memory_bytes(), heap, max(workers, cores) if multi_model else workers)
        WorkerSettings.from_environment(environment)
        return cls(
            port=_integer(environment, parameters.BIND_TO_PORT_ENV, DEFAULT_PORT, 1, 65535),
            workers=workers,
            threads=max(1, cores // workers),
            gpus=gpus,
            timeout_seconds=timeout,
            startup_seconds=_integer(environment, parameters.STARTUP_TIMEOUT_ENV, DEFAULT_STARTUP_SECONDS, 1, 86_400),
            body_seconds=_integer(environment, BODY_TIMEOUT_ENV, DEFAULT_BODY_SECONDS, 1, 3600),
            max_payload_bytes=payload * MB,
            batch_size=_integer(environment, BATCH_SIZE_ENV, batch, 1, 1024),
            script_batch_size=_integer(environment, BATCH_SIZE_ENV, 1, 1, 1024),
            batch_delay_ms=_integer(environment, BATCH_DELAY_ENV, 0, 0, 60_000),
            queue_size=_integer(environment, QUEUE_SIZE_ENV, DEFAULT_QUEUE_SIZE, 1, 100_000),
            max_pixels=_integer(environment, MAX_PIXELS_ENV, MAX_PIXELS, 1, HIGHEST_MAX_PIXELS),
            picture_mb=_integer(environment, PICTURE_MEMORY_ENV, picture, 1, HIGHEST_PICTURE_MB),
            heap_mb=heap,
            model_memory_mb=_integer(environment, MODEL_MEMORY_ENV, MODEL_MB, 1, 1_000_000),
            multi_model=multi_model,
            worker_credentials={"auto": None, "true": True, "false": False}[credentials],
            log_level=log_level(environment),
            log_format=_word(environment, LOG_FORMAT_ENV, "plain", _LOG_FORMATS),
            jvm_arguments=tuple(environment.get(parameters.MODEL_SERVER_VMARGS, "").split()),
        )


@dataclass(frozen=True)
class WorkerSettings:
    """The settings of a worker. ``threads`` are its own, ``cores`` the machine's."""

    threads: int
    default_accept: str
    max_pixels: int
    max_batch: int = DEFAULT_BATCH_SIZE
    cores: int = 1
    max_response_bytes: int = MIN_RESPONSE_MB * MB
    picture_bytes: int = MAX_PICTURE_BYTES

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> WorkerSettings:
        """Read a worker's settings. Raise ``SettingError`` for a value that is not allowed."""
        accept = environment.get(parameters.DEFAULT_INVOCATIONS_ACCEPT_ENV, "").strip() or JSON
        # A script may respond in media types that we don't support.
        if not printable(accept) or (content_type_for(accept) is None and "*" not in accept):
            raise SettingError(
                f"the environment variable {parameters.DEFAULT_INVOCATIONS_ACCEPT_ENV}={echo(accept)} names no media "
                f"type; {JSON} is one"
            )
        return cls(
            threads=_integer(environment, THREADS_ENV, 1, 1, 1024),
            default_accept=accept,
            max_pixels=_integer(environment, MAX_PIXELS_ENV, MAX_PIXELS, 1, HIGHEST_MAX_PIXELS),
            max_batch=_integer(environment, BATCH_SIZE_ENV, DEFAULT_BATCH_SIZE, 1, 1024),
            cores=cpu_count(),
            max_response_bytes=max_response_bytes(environment),
            picture_bytes=MB
            * _integer(environment, PICTURE_MEMORY_ENV, MAX_PICTURE_BYTES // MB, 1, HIGHEST_PICTURE_MB),
        )

    def check_for_builtin(self) -> None:
        """Raise ``SettingError`` for a default format that the built-in model's responses don't have."""
        try:
            choose_format(self.default_accept)
        except RequestError as error:
            raise SettingError(
                f"the environment variable {parameters.DEFAULT_INVOCATIONS_ACCEPT_ENV}: {error}"
            ) from None
