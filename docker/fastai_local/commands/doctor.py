"""``make doctor``: what this machine has, what it lacks, and the command that gets it."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sysconfig
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from fastai_local.base import MADE_HERE, missing_for_base
from fastai_local.disk_space import free_gb
from fastai_local.engine import GET_BUILDX, Engine, find_engine
from fastai_local.errors import EngineUnavailableError
from fastai_local.native import GET_VENV, has_java, has_nvidia_driver
from fastai_local.process import say
from fastai_local.registry import command
from fastai_local.settings import Settings

OK, MISSING, OPTIONAL = "ok", "MISSING", "optional"
# GB that a set-up takes, measured on the CPU builds; the CUDA ones as their packages say
DISK = {("docker", "cpu"): 8, ("docker", "gpu"): 30, ("native", "cpu"): 4, ("native", "gpu"): 12}
SHARED_MEMORY = 256  # MB that the data loader's workers need natively


@dataclass(frozen=True)
class Check:
    """One line of the table. ``get`` is the remedy, for what is not ok."""

    what: str
    state: str
    found: str
    get: str = ""


def table(checks: Iterable[Check]) -> str:
    checks = list(checks)
    width = max(len(check.what) for check in checks)
    lines = []
    for check in checks:
        lines.append(f"{check.what:<{width}}  {check.state:<8}  {check.found}")
        if check.get and check.state != OK:
            lines.append(f"{'':<{width}}  {'':<8}  -> {check.get}")
    return "\n".join(lines)


def disk_check(what: str, folder: Path, gigabytes: int) -> Check:
    free, place = free_gb(folder)
    state = OK if free >= gigabytes else MISSING
    return Check(what, state, f"{free:.0f} GB free at {place}, {gigabytes} GB needed", "make room on that disk")


def base_check(settings: Settings, engine: Engine) -> Check:
    name, what = settings.base, "base image"
    if engine.has_image(name):
        return Check(what, OK, f"{name} is here")
    if engine.capture("manifest", "inspect", name, timeout=20).ok:
        return Check(what, OK, f"{name} will be pulled")
    if name != MADE_HERE:
        return Check(
            what, MISSING, f"{name} is not here and can't be pulled", f"docker load it, or BASE_IMAGE={MADE_HERE}"
        )
    missing = missing_for_base()
    if missing is None:
        return Check(what, OK, f"{name} can't be pulled; make base makes it from Debian's packages")
    return Check(what, MISSING, f"{name} can't be pulled, and {missing}", "what the line says, then make base")


def docker_checks(settings: Settings) -> list[Check]:
    """Check what runs through Docker need."""
    try:
        engine = find_engine()
    except EngineUnavailableError as reason:
        reason_text, _, remedy = str(reason).partition(": ")
        return [Check("engine", MISSING, reason_text, remedy or "sudo make engine")]
    kind = " (rootless)" if engine.rootless else ""
    checks = [
        Check("engine", OK, f"Docker {engine.server_version}{kind}"),
        Check("docker command", OK, f"{engine.cli} {engine.client_version}"),
    ]
    if engine.builder:
        checks.append(Check("BuildKit", OK, engine.builder))
    else:
        found = f"{engine.client_version} builds only with the plug-in buildx, which is not installed"
        checks.append(Check("BuildKit", MISSING, found, GET_BUILDX))
    compose = engine.capture("compose", "version", "--short", timeout=20)
    get_compose = (
        "only for the SageMaker SDK's local mode: docker-compose-plugin or docker-compose-v2, or sudo make engine"
    )
    state, found = (OK, compose.out.strip()) if compose.ok else (OPTIONAL, "not installed")
    checks += [Check("docker compose", state, found, get_compose), base_check(settings, engine)]
    data_root = Path(engine.data_root or "/var/lib/docker")
    checks.append(disk_check("disk for Docker", data_root, DISK["docker", settings.device]))
    if settings.device == "gpu":
        ready = has_nvidia_driver() and "nvidia" in engine.runtimes
        found = (
            "NVIDIA driver and container toolkit" if ready else "no NVIDIA driver, or its runtime is not in the engine"
        )
        remedy = "install the driver and the NVIDIA Container Toolkit, then: sudo nvidia-ctk runtime configure"
        checks.append(Check("GPU", OK if ready else MISSING, found, remedy))
    return checks


def native_checks(settings: Settings) -> list[Check]:
    """Check what plain processes need."""
    has_venv = all(importlib.util.find_spec(name) for name in ("venv", "ensurepip"))
    checks = [Check("venv module", OK if has_venv else MISSING, "" if has_venv else "not installed", GET_VENV)]
    compiler = next((path for name in ("cc", "gcc", "clang") if (path := shutil.which(name))), None)
    header = _python_header()
    if compiler and header:
        checks.append(Check("C compiler", OK, f"{compiler} (sagemaker-training compiles a module)"))
    else:
        found = "no C compiler" if not compiler else "Python's headers are not installed"
        get = "on Debian or Ubuntu: sudo apt-get install gcc libc6-dev python3-dev"
        checks.append(Check("C compiler", MISSING, f"{found}; sagemaker-training compiles a module", get))
    if has_java():
        checks.append(Check("Java", OK, shutil.which("java") or f"JAVA_HOME={os.environ.get('JAVA_HOME')}"))
    else:
        checks.append(Check("Java", OPTIONAL, "none; the set-up takes one from a Python package", "nothing to do"))
    checks.append(disk_check("disk for build/", settings.build, DISK["native", settings.device]))
    shared = Path("/dev/shm")  # noqa: S108
    if platform.system() == "Linux" and shared.is_dir():
        size = shutil.disk_usage(shared).total / 1e6
        enough = size >= SHARED_MEMORY
        get = f'mount -o remount,size=1G {shared}, or HP="workers=0"'
        checks.append(
            Check(str(shared), OK if enough else OPTIONAL, f"{size:.0f} MB for the data loader's workers", get)
        )
    if settings.device == "gpu":
        ready = has_nvidia_driver()
        checks.append(
            Check("GPU", OK if ready else MISSING, "driver found" if ready else "no driver", "install NVIDIA's driver")
        )
    return checks


def _python_header() -> bool:
    return (Path(sysconfig.get_paths()["include"]) / "Python.h").is_file()


def is_complete(checks: Iterable[Check]) -> bool:
    return all(check.state != MISSING for check in checks)


@command("doctor", "", "what this machine has and lacks for Docker and for plain processes, and how to get it")
def doctor_command(settings: Settings) -> int:
    """Print the tables; return 0 when Docker or plain processes can run everything."""
    say(f"Python {platform.python_version()} on {platform.system()} {platform.machine()}, DEVICE={settings.device}\n")
    ways = {"docker": docker_checks, "native": native_checks}
    results = {}
    for name, checks_of in ways.items():
        if settings.runtime in (None, name):
            checks = checks_of(settings)
            results[name] = is_complete(checks)
            say(f"RUNTIME={name}: {'ready' if results[name] else 'not ready'}\n{table(checks)}\n")
    ready = [name for name, complete in results.items() if complete]
    say(f"ready: {' and '.join(ready)}" if ready else "not ready: each line marked MISSING says how to get it")
    return 0 if ready else 1
