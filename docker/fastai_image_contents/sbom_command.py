"""`make sbom`: asks the images, lets another environment write CycloneDX, and sums up the licences."""

from __future__ import annotations

import json
import tempfile
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastai_image_contents.images import identity, inventory
from fastai_local.engine import find_engine
from fastai_local.errors import LocalError
from fastai_local.images import KINDS, require_image
from fastai_local.native import ensure_side_environment
from fastai_local.process import say, stream
from fastai_local.settings import Settings

REQUIREMENTS = Path("docker", "requirements", "sbom.txt")


def components(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Everything that has a licence, each with its ecosystem."""
    parts = [item | {"from": kind} for kind in ("debian", "python", "java") for item in found[kind]]
    return parts + ([found["runtime"] | {"from": "runtime"}] if found["runtime"] else [])


def licence_table(found: Mapping[str, Any]) -> str:
    """How many parts have which licence, as a Markdown table; those without a known one are named below it.

    Debian's packages have a row for all: most have several licences, which the SBOM lists.
    """
    by_licence: dict[str, list[str]] = defaultdict(list)
    unknown = []
    for part in components(found):
        if not part["licences"]:
            unknown.append(f"{part['from']} {part['name']}")
        for licence in part["licences"] if part["from"] != "debian" else ():
            by_licence[licence].append(part["name"])
    debian = [package["name"] for package in found["debian"]]
    by_licence["Debian's packages: each as its file /usr/share/doc/*/copyright says"] = debian
    lines = ["| licence | parts | |", "|---|---:|---|"]
    for licence, names in sorted(by_licence.items(), key=lambda item: (-len(item[1]), item[0])):
        first = ", ".join(sorted(set(names))[:4])
        lines.append(f"| {licence} | {len(names)} | {first}{', …' if len(set(names)) > 4 else ''} |")
    lines.append("")
    lines.append(f"without a known licence: {', '.join(unknown) or 'none'}")
    lost = [text for part in found["python"] for text in part["lost"]]
    lines.append(f"licence texts that a package lists and the image lacks: {', '.join(lost) or 'none'}")
    return "\n".join(lines)


def write_sbom(settings: Settings, about: Mapping[str, Any], found: Mapping[str, Any], target: Path) -> None:
    """Writes CycloneDX for an image's inventory, validated against the format's schema. Raises LocalError."""
    python = ensure_side_environment(settings, "sbom-environment", settings.root / REQUIREMENTS)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as file:
        json.dump({"about": about, "components": components(found)}, file)
        file.flush()
        package = {"PYTHONPATH": str(Path(__file__).parents[1])}
        code = stream([python, "-m", "fastai_image_contents.sbom", file.name, target], env=package)
    if code != 0:
        raise LocalError(f"the SBOM of {about['image']} could not be written: the lines above say why")


def sbom_command(settings: Settings) -> int:
    """Writes build/sbom/*.cdx.json for both images of a device. Raises LocalError."""
    engine = find_engine()
    images = [require_image(engine, kind, settings.device) for kind in KINDS]
    folder = settings.out or settings.build / "sbom"
    for image in images:
        about, found = identity(engine, image), inventory(engine, image)
        target = folder / (image.replace(":", "-").replace("/", "_") + ".cdx.json")
        write_sbom(settings, about, found, target)
        say(f"\n### {image}: {target}\n\n{licence_table(found)}\n")
    return 0
