"""The engine's part of a push: building for a platform, and pushing without leaving the password anywhere."""

from __future__ import annotations

import contextlib
import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from fastai_local.engine import BUILDX, GET_BUILDX, Engine
from fastai_local.errors import LocalError
from fastai_local.process import tee

#: Settings of docker's own file that say who somebody is; the rest (contexts, proxies) stays.
_LOGINS = ("auths", "credsStore", "credHelpers")
_OTHER_NAMES = {"x86_64": "amd64", "aarch64": "arm64"}


def engine_arch(engine: Engine) -> str:
    return _OTHER_NAMES.get(engine.arch, engine.arch)


def require_platforms(engine: Engine, platforms: tuple[str, ...]) -> None:
    """Raise ``LocalError`` when the builder can't build for one of them."""
    foreign = [name for name in platforms if name != f"linux/{engine_arch(engine)}"]
    if not foreign:
        return
    if engine.builder != BUILDX:
        raise LocalError(f"--platform {','.join(foreign)} needs the plug-in buildx: {GET_BUILDX}")
    inspected = engine.capture("buildx", "inspect", timeout=60)
    line = re.search(r"^Platforms:\s*(.*)$", inspected.out, re.MULTILINE)
    known = {name.strip().rstrip("*") for name in line.group(1).split(",")} if line else set()
    missing = [name for name in foreign if name not in known]
    if missing:
        names = ",".join(name.partition("/")[2] for name in missing)
        raise LocalError(
            f"the builder here builds for {', '.join(sorted(known)) or 'unknown platforms'}, not for "
            f"{', '.join(missing)}: that takes emulation (install the packages qemu-user-static and binfmt-support, or "
            f"`docker run --privileged --rm tonistiigi/binfmt --install {names}`), or a builder on such a machine "
            "(docker buildx create)"
        )


@contextlib.contextmanager
def login(registry: str, authorization: str, env: Mapping[str, str] | None = None) -> Iterator[dict[str, str]]:
    """Return the environment of a docker command that is logged in to one registry.

    The login lies in a folder of its own, which only this user can read and which goes away at the end: neither a
    command line nor ~/.docker/config.json ever holds it. All else of the user's docker configuration is linked in.
    """
    env = os.environ if env is None else env
    users = Path(env.get("DOCKER_CONFIG") or Path.home() / ".docker")
    try:
        config = json.loads((users / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        config = {}
    config = {name: value for name, value in config.items() if name not in _LOGINS} if isinstance(config, dict) else {}
    config["auths"] = {registry: {"auth": authorization}}
    with tempfile.TemporaryDirectory(prefix="fastai-sagemaker-push-") as folder:
        for path in users.iterdir() if users.is_dir() else ():
            if path.name != "config.json":
                (Path(folder) / path.name).symlink_to(path.absolute())
        file = Path(folder) / "config.json"
        file.touch(mode=0o600)
        file.write_text(json.dumps(config), encoding="utf-8")
        yield {"DOCKER_CONFIG": folder}


def push_image(engine: Engine, name: str, env: Mapping[str, str]) -> None:
    """Push an image. Raise ``LocalError`` with the registry's reason."""
    code, last = tee(engine.command("push", name), env=env, errors_too=True)
    if code != 0:
        raise LocalError(f"the push of {name} failed: {last or f'docker push ended with {code}'}")


def pushes_oci(engine: Engine, name: str) -> bool:
    """Return whether the engine keeps this image in OCI's format, as containerd's store does, and pushes it so."""
    inspected = engine.capture("image", "inspect", "--format", "{{json .}}", name)
    try:
        described = json.loads(inspected.out).get("Descriptor") or {}
    except (ValueError, AttributeError):
        return False
    return "oci" in str(described.get("mediaType", ""))
