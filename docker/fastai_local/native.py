"""The virtual environment build/venv, for runs without an engine and for the tests."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from fastai_local.errors import LocalError
from fastai_local.process import capture, last_line, say, stream, warn
from fastai_local.settings import Settings, locked_version

RUN_EXTRAS = ("training", "serving")
DEV_EXTRAS = ("training", "serving", "dev")
# Errors only. Python compiles what it imports, which is a small part of what is installed.
PIP_OPTIONS = ("--disable-pip-version-check", "--quiet", "--quiet", "--no-compile")
GET_VENV = "on Debian or Ubuntu: sudo apt-get install python3-venv"


def venv_folder(settings: Settings) -> Path:
    return settings.build / "venv"


def venv_python(settings: Settings) -> Path:
    return venv_folder(settings) / "bin" / "python"


def has_java(env: dict[str, str] | None = None) -> bool:
    """Return whether a Java is on PATH or at JAVA_HOME."""
    values = os.environ if env is None else env
    home = values.get("JAVA_HOME")
    return bool(
        (home and os.access(Path(home) / "bin" / "java", os.X_OK)) or shutil.which("java", path=values.get("PATH"))
    )


def has_nvidia_driver() -> bool:
    return Path("/proc/driver/nvidia/version").exists() or capture(["nvidia-smi", "-L"], timeout=20).ok


def fingerprint(settings: Settings) -> str:
    """Return a hash that is another one when build/venv is out of date: requirements, Python, a moved checkout."""
    digest = hashlib.sha256()
    lock = settings.root / "docker" / "requirements" / "training-cpu.txt"
    for path in (settings.root / "pyproject.toml", lock):
        digest.update(path.read_bytes() if path.is_file() else b"")
    digest.update(f"{settings.root} {sys.version}".encode())
    return digest.hexdigest()


def is_current(settings: Settings, extras: Sequence[str]) -> bool:
    """Return whether build/venv has these extras, installed from the requirements as they are now."""
    try:
        stamp = json.loads((venv_folder(settings) / "fastai-sagemaker.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return (
        stamp.get("fingerprint") == fingerprint(settings)
        and set(extras) <= set(stamp.get("extras", []))
        and capture([venv_python(settings), "-c", ""]).ok
    )


def ensure_environment(settings: Settings, extras: Sequence[str] = RUN_EXTRAS) -> Path:
    """Make or update build/venv and return its Python. Raise ``LocalError``."""
    wanted = list(extras)
    if not has_java():
        wanted.append("java")
    if is_current(settings, wanted):
        return venv_python(settings)
    stamp = venv_folder(settings) / "fastai-sagemaker.json"
    stamp.unlink(missing_ok=True)
    _create(venv_folder(settings))
    say(f"set-up: installing {', '.join(wanted)} into {_shown(venv_folder(settings))}")
    if "training" in wanted:
        install_torch(settings)
    requirement = f"{settings.root}[{','.join(wanted)}]"
    locked = [f"{name}=={version}" for name in ("torchvision",) if (version := locked_version(name, settings.root))]
    if not _pip(settings, venv_python(settings), "--editable", requirement, *(locked if "training" in wanted else [])):
        raise LocalError(
            "the packages could not be installed: pip's last lines above say why (no network? no C compiler? "
            "`make doctor` checks this machine)"
        )
    stamp.write_text(json.dumps({"fingerprint": fingerprint(settings), "extras": wanted}), encoding="utf-8")
    return venv_python(settings)


def _shown(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def ensure_side_environment(settings: Settings, name: str, requirements: Path, *, torch: bool = False) -> Path:
    """Make or update build/``name``, an environment beside ours for what can't share it (another SDK, a peer to
    measure), from a requirements file; return its Python. ``torch``: with the build of torch that suits this machine.
    Raise ``LocalError``."""
    folder = settings.build / name
    python, stamp = folder / "bin" / "python", folder / "fastai-sagemaker.txt"
    wanted = hashlib.sha256(requirements.read_bytes() + f"{folder} {sys.version}".encode()).hexdigest()
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted and capture([python, "-c", ""]).ok:
        return python
    stamp.unlink(missing_ok=True)
    _create(folder)
    say(f"set-up: installing {_shown(requirements)} into {_shown(folder)}")
    if torch:
        install_torch(settings, python)
    if not _pip(settings, python, "--requirement", str(requirements)):
        raise LocalError(f"{_shown(requirements)} could not be installed: pip's last lines above say why (no network?)")
    stamp.write_text(wanted, encoding="utf-8")
    return python


def _create(folder: Path) -> None:
    if capture([folder / "bin" / "python", "-c", "import pip"]).ok:
        return
    shutil.rmtree(folder, ignore_errors=True)  # half made, or its Python is gone
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = capture([sys.executable, "-m", "venv", folder], timeout=300)
    if not made.ok:
        shutil.rmtree(folder, ignore_errors=True)
        reason = last_line(made.err) or last_line(made.out)
        raise LocalError(f"python3 -m venv failed ({reason}): the module venv is needed ({GET_VENV})")


def _pip(settings: Settings, python: Path, *requirements: str) -> bool:
    return stream([python, "-m", "pip", "install", *PIP_OPTIONS, *requirements], cwd=settings.root) == 0


def install_torch(settings: Settings, python: Path | None = None) -> None:
    """Install torch and torchvision before the rest asks for them, into build/venv or where ``python`` is.

    On Linux a plain ``pip install torch`` takes the CUDA build of several GB. Where no NVIDIA driver could use it,
    the CPU build comes from pip's own configuration, else from PyTorch's index of CPU builds, else it is CUDA's.
    """
    version, vision = locked_version("torch", settings.root), locked_version("torchvision", settings.root)
    if not version or platform.system() != "Linux" or has_nvidia_driver():
        return
    python = python or venv_python(settings)
    question = "import importlib.metadata as m; print(m.version('torch'), m.version('torchvision'))"
    installed = capture([python, "-c", question]).out.split()
    if [release.partition("+")[0] for release in installed] == [version, vision]:
        return
    probe = [
        str(python),
        "-m",
        "pip",
        "install",
        "--disable-pip-version-check",
        "--no-compile",
        f"torch=={version}+cpu",
    ]
    if capture(probe, timeout=1800).ok:
        say(f"set-up: torch {version}+cpu, from pip's configuration")
        return
    say(f"set-up: torch {version} from PyTorch's index of CPU builds")
    both = [f"torch=={version}", *([f"torchvision=={vision}"] if vision else [])]
    uv = ["uv", "pip", "install", "--quiet", "--python", str(python), "--torch-backend=cpu", *both]
    if _pip(settings, python, "uv") and stream([python, "-m", *uv], env=_uv_environment()) == 0:
        return
    warn("PyTorch's index of CPU builds can't be reached: taking torch's CUDA build, several GB")


def _uv_environment() -> dict[str, str]:
    """uv reads none of pip's settings: this is how it hears of the machine's package index and certificates."""
    env = {}
    if os.environ.get("PIP_INDEX_URL"):
        env["UV_DEFAULT_INDEX"] = os.environ["PIP_INDEX_URL"]
    if os.environ.get("PIP_CERT"):
        env["SSL_CERT_FILE"] = os.environ["PIP_CERT"]
    return env
