"""An engine for tests, which has and pulls what they say."""

from __future__ import annotations

import json
from pathlib import Path

from fastai_local.engine import Engine
from fastai_local.process import Result


class FakeEngine(Engine):
    """An engine that has some images, can pull others, and notes what it is asked."""

    def with_images(self, present: set[str], pullable: set[str] = frozenset()) -> FakeEngine:
        object.__setattr__(self, "present", present)
        object.__setattr__(self, "pullable", pullable)
        object.__setattr__(self, "asked", [])
        return self

    def capture(self, *args: str | Path, timeout: float = 60) -> Result:
        words = [str(arg) for arg in args]
        self.asked.append(words)
        if words[:2] == ["image", "inspect"]:
            return Result(0 if words[-1] in self.present else 1)
        if words[0] == "pull" or words[:2] == ["manifest", "inspect"]:
            return Result(0) if words[-1] in self.pullable else Result(1, "", "no such host")
        return Result(0)


def engine(builder: str | None = "buildx", present=frozenset(), pullable=frozenset()) -> FakeEngine:
    return FakeEngine("docker", "28.0", "28.0", "amd64", builder).with_images(set(present), set(pullable))


def fake_client(
    folder: Path, *, client: str, server: str | None, buildx: bool = False, security: list[str] | None = None
) -> Path:
    """A `docker` that answers `version`, `info` and `buildx version` as a real one does."""
    folder.mkdir(parents=True, exist_ok=True)
    version = {"Client": {"Version": client}, "Server": {"Version": server, "Arch": "amd64"} if server else None}
    info = {"SecurityOptions": security or [], "DockerRootDir": "/data", "Runtimes": {"runc": {}}}
    end = "exit 0" if server else "echo 'Cannot connect to the Docker daemon at unix:///x.' >&2; exit 1"
    script = f"""#!/bin/sh
case "$1" in
version) echo '{json.dumps(version)}'; {end};;
info) echo '{json.dumps(info)}';;
buildx) exit {0 if buildx else 1};;
esac
"""
    path = folder / "docker"
    path.write_text(script)
    path.chmod(0o755)
    return path
