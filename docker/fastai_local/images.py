"""Building the images."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from fastai_local.base import MADE_HERE, ensure_base
from fastai_local.build_secrets import build_secrets, proxy_args
from fastai_local.engine import BUILDX, Engine, require_builder
from fastai_local.errors import LocalError
from fastai_local.process import capture, last_line, say, stream
from fastai_local.settings import Settings, locked_version, project_version

KINDS = ("serving", "training")
MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
BASE_PYTHON = "3.11"  # of MADE_HERE
NO_COMMIT_TIME = "1970-01-01T00:00:00Z"


def image_name(kind: str, tag: str) -> str:
    return f"fastai-sagemaker-{kind}:{tag}"


def revision(root: Path) -> tuple[str, str]:
    """Return the commit and its time, so that rebuilds of a commit say the same; "-dirty" when the tree has changes."""
    git = ["git", "-C", str(root)]
    head = capture([*git, "log", "-1", "--format=%H %cd", "--date=format-local:%Y-%m-%dT%H:%M:%SZ"], env={"TZ": "UTC"})
    commit, _, created = head.out.strip().partition(" ")
    if not head.ok or not commit:
        return "unknown", NO_COMMIT_TIME
    dirty = capture([*git, "status", "--porcelain"]).out.strip()
    return f"{commit}-dirty" if dirty else commit, created


def build_command(
    settings: Settings,
    engine: Engine,
    kind: str,
    secrets: list[str],
    *,
    name: str | None = None,
    platform: str | None = None,
) -> list[str]:
    """Return the command that builds one image, under its usual names or the one given, for a platform if named."""
    version = project_version(settings.root)
    commit, created = revision(settings.root)
    values = {
        "BASE_IMAGE": settings.base,
        "DEVICE": settings.device,
        "VERSION": version,
        "REVISION": commit,
        "CREATED": created,
        "SOURCE_DATE_EPOCH": str(int(datetime.fromisoformat(created.replace("Z", "+00:00")).timestamp())),
    }
    # SageMaker reads plain image manifests only, so no attestations beside the image
    start = ["buildx", "build", "--load", "--provenance=false"] if engine.builder == BUILDX else ["build"]
    command = engine.command(*start, "--file", settings.root / "docker" / "Dockerfile", "--target", kind)
    usual = [image_name(kind, tag) for tag in (settings.device, f"{version}-{settings.device}")]
    for tag in [name] if name else usual:
        command += ["--tag", tag]
    if platform:
        command += ["--platform", platform]
    for name, value in values.items():
        command += ["--build-arg", f"{name}={value}"]
    return [*command, *proxy_args(os.environ), *secrets, str(settings.root)]


def fetch_cpu_torch(settings: Settings, engine: Engine) -> None:
    """Put the CPU build of torch into docker/wheelhouse when this machine's pip can find it.

    Without it the Dockerfile asks PyTorch's own index of CPU builds. Other bases have another Python: left alone.
    """
    wheelhouse = settings.root / "docker" / "wheelhouse"
    version = locked_version("torch", settings.root)
    if settings.device != "cpu" or settings.base != MADE_HERE or not version or any(wheelhouse.glob("torch-*.whl")):
        return
    machine = MACHINES.get(engine.arch, platform.machine())
    flags = ["--no-deps", "--only-binary=:all:", "--implementation", "cp", "--disable-pip-version-check", "--quiet"]
    target = ["--python-version", BASE_PYTHON, "--abi", f"cp{BASE_PYTHON.replace('.', '')}"]
    target += ["--platform", f"manylinux_2_28_{machine}", "-d", str(wheelhouse)]
    pip = [sys.executable, "-m", "pip", "download", *flags, *target, f"torch=={version}+cpu"]
    if capture(pip, timeout=1800).ok:
        say(f"build: torch {version}+cpu is in docker/wheelhouse, from pip's configuration")
    else:
        say(f"build: pip here knows no torch {version}+cpu; the build takes it from PyTorch's own index of CPU builds")


def build_images(
    settings: Settings, engine: Engine, *, names: Mapping[str, str] | None = None, platform: str | None = None
) -> None:
    """Build both images of a device, or the kinds that ``names`` has, under its names. Raise ``LocalError``."""
    shown = names or {kind: image_name(kind, settings.device) for kind in KINDS}
    require_builder(engine)
    if not (settings.root / "docker" / "Dockerfile").is_file():
        raise LocalError(f"{settings.root}/docker/Dockerfile is missing: is this a whole checkout?")
    ensure_base(settings, engine)
    fetch_cpu_torch(settings, engine)
    with build_secrets(settings.root) as secrets:
        for kind, name in shown.items():
            say(f"build: {name}")
            command = build_command(settings, engine, kind, secrets, name=name if names else None, platform=platform)
            # what turns BuildKit on in clients older than 23; newer ones ignore it
            code = stream(command, env={"DOCKER_BUILDKIT": "1"})
            if code != 0:
                raise LocalError(
                    f"the build of {name} failed: the step that failed is named above; "
                    "`make doctor` checks this machine"
                )
    listed = engine.capture("images", "--format", "{{.Repository}}:{{.Tag}}  {{.Size}}")
    for line in listed.out.splitlines():
        if line.partition(" ")[0] in shown.values():
            say(f"built: {line}")


def require_image(engine: Engine, kind: str, device: str) -> str:
    """Return the name of an image that must have been built. Raise ``LocalError``."""
    name = image_name(kind, device)
    if not engine.has_image(name):
        suffix = "" if device == "cpu" else f" DEVICE={device}"
        raise LocalError(f"the image {name} is not there: run `make build{suffix}` first")
    return name


def remove_images(engine: Engine) -> None:
    """Remove every image of ours, whatever its tag."""
    for kind in KINDS:
        listed = engine.capture("images", "--quiet", f"fastai-sagemaker-{kind}")
        for image in dict.fromkeys(listed.out.split()):
            removed = engine.capture("image", "rm", "--force", image)
            if not removed.ok:
                raise LocalError(f"the image {image} can't be removed: {last_line(removed.err)}")
