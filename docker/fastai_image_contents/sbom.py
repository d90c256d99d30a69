"""Writes CycloneDX 1.6 from an inventory, and validates it: `python -m fastai_image_contents.sbom INVENTORY TARGET`.

Runs in an environment of its own, which has cyclonedx-python-lib.
"""

from __future__ import annotations

import json
import sys
import uuid
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import LicenseExpression
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL


def package_url(part: Mapping[str, Any]) -> PackageURL:
    """https://github.com/package-url/purl-spec, by ecosystem."""
    name, version = part["name"], part["version"]
    if part["from"] == "debian":
        return PackageURL("deb", "debian", name, version, {"arch": part["arch"]})
    if part["from"] == "python":
        return PackageURL("pypi", None, name.lower().replace("_", "-"), version)
    if part["from"] == "java":
        return PackageURL("maven", part["group"], name, version)
    return PackageURL("generic", None, name, version)


def licences(names: list[str]) -> list[Any]:
    """SPDX identifiers where the names are such; a single SPDX expression; else the names as they are."""
    factory = LicenseFactory()
    if len(names) == 1:
        return [factory.make_from_string(names[0])]
    # the format allows an expression only alone
    made = [factory.make_from_string(name) for name in names]
    return [factory.make_with_name(item.value) if isinstance(item, LicenseExpression) else item for item in made]


def document(inventory: Mapping[str, Any]) -> Bom:
    """The same image gives the same document: its time is the image's, its serial number comes from the image's id."""
    about = inventory["about"]
    root = Component(
        type=ComponentType.CONTAINER,
        name=about["image"].partition(":")[0],
        version=about["version"],
        bom_ref=about["image"],
        licenses=licences(["Apache-2.0"]),
        properties=[
            Property(name="fastai-sagemaker:image-id", value=about["id"]),
            Property(name="fastai-sagemaker:revision", value=about["revision"]),
            Property(name="fastai-sagemaker:architecture", value=about["arch"]),
        ],
    )
    parts = []
    for part in inventory["components"]:
        url = package_url(part)
        kind = ComponentType.PLATFORM if part["from"] == "runtime" else ComponentType.LIBRARY
        properties = [Property(name="fastai-sagemaker:licence-text", value=text) for text in part.get("texts", [])[:20]]
        component = Component(
            type=kind,
            name=part["name"],
            group=part.get("group"),
            version=part["version"],
            purl=url,
            bom_ref=str(url),
            licenses=licences(part["licences"]),
            properties=properties,
        )
        parts.append(component)
    bom = Bom(components=parts, serial_number=uuid.uuid5(uuid.NAMESPACE_URL, about["id"]))
    bom.metadata.timestamp = datetime.fromisoformat(about["created"].replace("Z", "+00:00"))
    bom.metadata.component = root
    bom.register_dependency(root, parts)
    return bom


def main(inventory: str, target: str) -> int:
    bom = document(json.loads(Path(inventory).read_text(encoding="utf-8")))
    text = JsonV1Dot6(bom).output_as_string(indent=2)
    wrong = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    if wrong:
        print(f"error: this is not CycloneDX 1.6: {wrong}", file=sys.stderr)
        return 1
    Path(target).write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
