"""``make sbom`` and ``make size``: what the images of a device contain."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import fastai_image_contents
from fastai_image_contents.licences import components, licence_table
from fastai_image_contents.size import report
from fastai_local.engine import Engine, find_engine
from fastai_local.errors import LocalError
from fastai_local.images import KINDS, require_image
from fastai_local.native import ensure_side_environment
from fastai_local.process import last_line, say, stream
from fastai_local.registry import command
from fastai_local.settings import Settings

CONTENTS = Path(fastai_image_contents.__file__).parent
INVENTORY = CONTENTS / "inventory.py"
REQUIREMENTS = Path("docker", "requirements", "sbom.txt")
PYTHON = "/opt/venv/bin/python3"
SECONDS = 300


def inventory(engine: Engine, image: str) -> dict[str, Any]:
    """Run the inventory inside the image and return what it finds. Raise ``LocalError``."""
    closed = ("--rm", "--network", "none", "--user", "0:0", "--cap-drop", "ALL")
    words = ("run", *closed, "--entrypoint", PYTHON, image, "-I", "-c", INVENTORY.read_text(encoding="utf-8"))
    done = engine.capture(*words, timeout=SECONDS)
    if not done.ok:
        raise LocalError(f"{image} can't be inspected: {last_line(done.err)}")
    return dict(json.loads(done.out))


def identity(engine: Engine, image: str) -> dict[str, Any]:
    """Return the image's id, architecture, time and labels."""
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


def write_sbom(settings: Settings, about: Mapping[str, Any], found: Mapping[str, Any], target: Path) -> None:
    """Write CycloneDX for an image's inventory, validated against the format's schema. Raise ``LocalError``."""
    python = ensure_side_environment(settings, "sbom-environment", settings.root / REQUIREMENTS)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as file:
        json.dump({"about": about, "components": components(found)}, file)
        file.flush()
        package = {"PYTHONPATH": str(CONTENTS.parent)}
        code = stream([python, "-m", "fastai_image_contents.sbom", file.name, target], env=package)
    if code != 0:
        raise LocalError(f"the SBOM of {about['image']} could not be written: the lines above say why")


@command("sbom", "", "what the images hold and under which licences, as CycloneDX", "OUT=build/sbom")
def sbom_command(settings: Settings) -> int:
    """Write build/sbom/*.cdx.json for both images of a device. Raise ``LocalError``."""
    engine = find_engine()
    images = [require_image(engine, kind, settings.device) for kind in KINDS]
    folder = settings.out or settings.build / "sbom"
    for image in images:
        about, found = identity(engine, image), inventory(engine, image)
        target = folder / (image.replace(":", "-").replace("/", "_") + ".cdx.json")
        write_sbom(settings, about, found, target)
        say(f"\n### {image}: {target}\n\n{licence_table(found)}\n")
    return 0


@command("size", "", "the largest parts of the images")
def size_command(settings: Settings) -> int:
    """Measure both images of a device. Raise ``LocalError``."""
    engine = find_engine()
    for kind in KINDS:
        image = require_image(engine, kind, settings.device)
        say(report(identity(engine, image), inventory(engine, image)))
    return 0
