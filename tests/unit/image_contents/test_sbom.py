from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("cyclonedx", reason="cyclonedx-python-lib isn't installed: pip install '.[dev]'")

from fastai_image_contents import sbom as subject

ABOUT = {
    "image": "fastai-sagemaker-serving:cpu",
    "id": "sha256:0123",
    "arch": "amd64",
    "version": "1.2.3",
    "revision": "c0ffee",
    "created": "2026-11-22T10:00:00Z",
}
DEBIAN = {"from": "debian", "name": "libc6", "version": "2.36-9", "arch": "amd64", "licences": ["LGPL-2.1-or-later"]}
PYTHON = {"from": "python", "name": "Typing_Extensions", "version": "4.15.0", "licences": ["PSF-2.0"]}
JAVA = {"from": "java", "group": "io.netty", "name": "netty-codec", "version": "4.1.91", "licences": ["Apache-2.0"]}
RUNTIME = {"from": "runtime", "name": "openjdk", "version": "17.0.9", "licences": ["GPL-2.0-only"], "texts": ["/legal"]}


@pytest.mark.parametrize(
    ("part", "url"),
    [
        (DEBIAN, "pkg:deb/debian/libc6@2.36-9?arch=amd64"),
        (PYTHON, "pkg:pypi/typing-extensions@4.15.0"),
        (JAVA, "pkg:maven/io.netty/netty-codec@4.1.91"),
        (RUNTIME, "pkg:generic/openjdk@17.0.9"),
    ],
)
def test_each_ecosystem_has_its_own_addresses(part: dict[str, Any], url: str) -> None:
    assert subject.package_url(part).to_string() == url


def write(folder: Path, *parts: dict[str, Any], about: dict[str, str] = ABOUT) -> dict[str, Any]:
    """The document that the command writes for an image of these parts."""
    (folder / "inventory.json").write_text(json.dumps({"about": about, "components": parts}))
    assert subject.main(str(folder / "inventory.json"), str(folder / "image.cdx.json")) == 0
    return json.loads((folder / "image.cdx.json").read_text())


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["MIT"], [{"license": {"id": "MIT"}}]),
        (["MIT AND BSD-3-Clause"], [{"expression": "MIT AND BSD-3-Clause"}]),
        (["BSD License"], [{"license": {"name": "BSD License"}}]),
        # The format allows an expression only alone.
        (["MIT OR ISC", "BSD-3-Clause"], [{"license": {"id": "BSD-3-Clause"}}, {"license": {"name": "MIT OR ISC"}}]),
        ([], None),
    ],
)
def test_a_licence_is_an_identifier_an_expression_or_a_name(tmp_path: Path, names: list[str], expected) -> None:
    (component,) = write(tmp_path, PYTHON | {"licences": names})["components"]
    found = component.get("licenses")
    assert found == expected or sorted(found, key=str) == sorted(expected, key=str)


def test_the_document_is_of_the_image_and_needs_each_part(tmp_path: Path) -> None:
    written = write(tmp_path, DEBIAN, PYTHON, JAVA, RUNTIME)
    assert (written["bomFormat"], written["specVersion"]) == ("CycloneDX", "1.6")
    assert written["metadata"]["timestamp"] == "2026-11-22T10:00:00+00:00"
    root = written["metadata"]["component"]
    assert (root["type"], root["name"], root["version"]) == ("container", "fastai-sagemaker-serving", "1.2.3")
    assert {item["name"].partition(":")[2]: item["value"] for item in root["properties"]} == {
        "image-id": "sha256:0123",
        "revision": "c0ffee",
        "architecture": "amd64",
    }
    kinds = {component["name"]: component["type"] for component in written["components"]}
    assert kinds == dict.fromkeys(("libc6", "Typing_Extensions", "netty-codec"), "library") | {"openjdk": "platform"}
    needed = {item["ref"]: item.get("dependsOn", []) for item in written["dependencies"]}
    assert len(needed["fastai-sagemaker-serving:cpu"]) == 4
    (java,) = [component for component in written["components"] if component["name"] == "openjdk"]
    assert java["properties"] == [{"name": "fastai-sagemaker:licence-text", "value": "/legal"}]


def test_the_same_image_gives_the_same_document_and_another_does_not(tmp_path: Path) -> None:
    documents = [write(tmp_path, DEBIAN, JAVA) for _ in range(2)]
    assert documents[0] == documents[1]
    other = write(tmp_path, DEBIAN, JAVA, about=ABOUT | {"id": "sha256:4567"})
    assert other["serialNumber"] != documents[0]["serialNumber"]


def test_what_the_schema_refuses_is_not_written(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(subject.JsonStrictValidator, "validate_str", lambda *_: "no such field")
    (tmp_path / "inventory.json").write_text(json.dumps({"about": ABOUT, "components": []}))
    assert subject.main(str(tmp_path / "inventory.json"), str(tmp_path / "image.cdx.json")) == 1
    assert "not CycloneDX 1.6: no such field" in capsys.readouterr().err
    assert not (tmp_path / "image.cdx.json").exists()
