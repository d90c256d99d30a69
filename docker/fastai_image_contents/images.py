"""Asking an image what it contains."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fastai_local.engine import Engine
from fastai_local.errors import LocalError
from fastai_local.process import last_line

INVENTORY = Path(__file__).with_name("inventory.py")
PYTHON = "/opt/venv/bin/python3"
SECONDS = 300


def inventory(engine: Engine, image: str) -> dict[str, Any]:
    """What the image itself finds in it. Raises LocalError."""
    closed = ("--rm", "--network", "none", "--user", "0:0", "--cap-drop", "ALL")
    command = ("run", *closed, "--entrypoint", PYTHON, image, "-I", "-c", INVENTORY.read_text(encoding="utf-8"))
    done = engine.capture(*command, timeout=SECONDS)
    if not done.ok:
        raise LocalError(f"{image} can't be looked into: {last_line(done.err)}")
    return dict(json.loads(done.out))


def identity(engine: Engine, image: str) -> dict[str, Any]:
    """The image's id, architecture, time and labels."""
    found = json.loads(engine.capture("image", "inspect", image).out)[0]
    labels = found["Config"].get("Labels") or {}
    label = "org.opencontainers.image."
    return {
        "image": image,
        "id": found["Id"],
        "arch": found["Architecture"],
        "bytes": found["Size"],
        "version": labels.get(label + "version", "unknown"),
        "revision": labels.get(label + "revision", "unknown"),
        "created": labels.get(label + "created", "1970-01-01T00:00:00Z"),
    }
