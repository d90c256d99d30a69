"""The container engine of this machine: whether one answers, and what its command-line client can do."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastai_local.errors import EngineUnavailableError, LocalError
from fastai_local.process import TIMED_OUT, Result, capture, last_line

ANSWER_SECONDS = 20
BUILT_IN = "built-in"
BUILDX = "buildx"
GET_BUILDX = (
    "install the package docker-buildx (docker-buildx-plugin from Docker's own packages), or run `sudo make engine`"
)


@dataclass(frozen=True)
class Engine:
    """An engine that answers, and the client to reach it with."""

    cli: str
    client_version: str
    server_version: str
    arch: str  # as Docker says it: amd64, arm64
    builder: str | None  # built-in (a client older than 23 with BuildKit in it), buildx, or None
    rootless: bool = False
    selinux: bool = False
    data_root: str = ""
    runtimes: tuple[str, ...] = ()

    def command(self, *args: str | Path) -> list[str]:
        return [self.cli, *(str(arg) for arg in args)]

    def capture(self, *args: str | Path, timeout: float = 60) -> Result:
        return capture(self.command(*args), timeout=timeout)

    def has_image(self, name: str) -> bool:
        return self.capture("image", "inspect", "--format", "{{.Id}}", name).ok

    def user_args(self, uid: int, gid: int) -> list[str]:
        """Return the options that make files in mounted folders belong to the user who called us.

        None as root, and none under a rootless engine, where the container's root already is that user.
        """
        if uid == 0 or self.rootless:
            return []
        return ["--user", f"{uid}:{gid}", "--env", "HOME=/tmp"]

    def label_args(self) -> list[str]:
        """SELinux would refuse the mounted folders; relabelling the user's own data is not ours to do."""
        return ["--security-opt", "label=disable"] if self.selinux else []


def clients(env: Mapping[str, str]) -> list[str]:
    """Return every ``docker`` on PATH, in its order (a machine can have an old and a new one), or just $DOCKER."""
    if env.get("DOCKER"):
        return [env["DOCKER"]]
    found: list[str] = []
    for folder in env.get("PATH", os.defpath).split(os.pathsep):
        path = Path(folder or ".") / "docker"
        if path.is_file() and os.access(path, os.X_OK) and str(path) not in found:
            found.append(str(path))
    return found


def builder_of(cli: str, client_version: str) -> str | None:
    """Return what builds with BuildKit: the client itself before release 23, the plug-in buildx after."""
    major, _, rest = client_version.partition(".")
    if not major.isdigit():
        return None
    release = (int(major), int(rest.partition(".")[0]) if rest.partition(".")[0].isdigit() else 0)
    if (18, 9) <= release < (23, 0):
        return BUILT_IN
    return BUILDX if capture([cli, "buildx", "version"], timeout=ANSWER_SECONDS).ok else None


def why_not(result: Result) -> str:
    """Return one sentence on why an engine doesn't answer, with the remedy."""
    text = last_line(result.err) or last_line(result.out)
    lower = text.lower()
    if result.code == TIMED_OUT:
        return f"the Docker engine gave no answer in {ANSWER_SECONDS} seconds: wait until it is idle, or restart it"
    if "permission denied" in lower:
        return (
            "this user may not talk to the Docker engine: add the user to the group `docker` and log in again, "
            "or run make with sudo"
        )
    if "cannot connect" in lower or "is the docker daemon running" in lower or "failed to connect" in lower:
        return "no Docker engine answers: start it (`sudo systemctl start docker`), or run `sudo make engine`"
    return f"the Docker engine can't be used: {text or 'no answer'}"


def _version(cli: str) -> tuple[dict[str, Any], Result]:
    result = capture([cli, "version", "--format", "{{json .}}"], timeout=ANSWER_SECONDS)
    try:
        parsed = json.loads(result.out)
    except ValueError:
        parsed = {}
    return (parsed if isinstance(parsed, dict) else {}), result


def find_engine(env: Mapping[str, str] | None = None) -> Engine:
    """Return the engine that answers, by the first client on PATH that can build images (else the first that answers).

    Raise ``EngineUnavailableError`` with the reason and the remedy.
    """
    candidates = clients(os.environ if env is None else env)
    if not candidates:
        raise EngineUnavailableError("no `docker` command on PATH: install Docker, or run `sudo make engine`")
    reasons: list[str] = []
    answering: Engine | None = None
    for cli in candidates:
        version, result = _version(cli)
        client, server = version.get("Client") or {}, version.get("Server") or {}
        if not result.ok or not server:
            reasons.append(why_not(result))
            continue
        client_version = str(client.get("Version", ""))
        engine = Engine(
            cli=cli,
            client_version=client_version,
            server_version=str(server.get("Version", "")),
            arch=str(server.get("Arch", "")),
            builder=builder_of(cli, client_version),
            **_details(cli),
        )
        if engine.builder:
            return engine
        answering = answering or engine
    if answering:
        return answering
    raise EngineUnavailableError(reasons[0])


def _details(cli: str) -> dict[str, Any]:
    result = capture([cli, "info", "--format", "{{json .}}"], timeout=ANSWER_SECONDS)
    try:
        info = json.loads(result.out)
    except ValueError:
        return {}
    options = [str(option) for option in info.get("SecurityOptions") or []]
    return {
        "rootless": any("name=rootless" in option for option in options),
        "selinux": any("name=selinux" in option for option in options),
        "data_root": str(info.get("DockerRootDir") or ""),
        "runtimes": tuple(info.get("Runtimes") or ()),
    }


def require_builder(engine: Engine) -> str:
    """Return the engine's builder; raise ``LocalError`` when this client has none."""
    if engine.builder is None:
        raise LocalError(f"{engine.cli} {engine.client_version} can't build images without buildx: {GET_BUILDX}")
    return engine.builder
