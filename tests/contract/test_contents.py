"""What the images say they contain is what they contain, and under which licences."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import unquote

import pytest

from fastai_image_contents.licences import components, licence_table
from fastai_local.commands.image_contents import identity, inventory, write_sbom
from fastai_local.settings import Settings, locked_version
from tests.contract.conftest import SERVING_IMAGE, TRAINING_IMAGE
from tests.contract.test_images import run
from tests.engine import require_engine

pytestmark = pytest.mark.engine

IMAGES = (SERVING_IMAGE, TRAINING_IMAGE)


@pytest.fixture(scope="module")
def found(engine) -> dict[str, dict[str, Any]]:
    """Each image's inventory."""
    return {image: inventory(require_engine(), image) for image in IMAGES}


@pytest.mark.parametrize("image", IMAGES)
def test_the_sbom_is_valid_and_complete(engine, found, tmp_path, image):
    # written by the command's own environment, which validates it against CycloneDX's schema
    about = identity(require_engine(), image)
    for name in ("one.json", "two.json"):
        write_sbom(Settings(), about, found[image], tmp_path / name)
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()
    document = json.loads((tmp_path / "one.json").read_text())
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")
    assert len(document["components"]) == len(components(found[image]))
    urls = {unquote(component["purl"].partition("?")[0]) for component in document["components"]}
    for name in run(engine, image, "dpkg-query", "-W", "-f", "${Package}\n").splitlines():
        assert any(url.startswith(f"pkg:deb/debian/{name}@") for url in urls), name
    listed = json.loads(run(engine, image, "python3", "-m", "pip", "list", "--format", "json"))
    for package in listed:
        assert any(url.startswith(f"pkg:pypi/{package['name'].lower().replace('_', '-')}@") for url in urls), package
    assert any(url.startswith("pkg:maven/io.netty/netty-buffer@4.") for url in urls)
    assert any(url.startswith("pkg:generic/openjdk@17.") for url in urls)
    if image == TRAINING_IMAGE:
        assert any(url.startswith(f"pkg:pypi/torch@{locked_version('torch')}") for url in urls)


@pytest.mark.parametrize("image", IMAGES)
def test_everything_has_a_known_licence_and_its_text(found, image):
    assert [part["name"] for part in components(found[image]) if not part["licences"]] == [], licence_table(
        found[image]
    )
    assert [text for part in found[image]["python"] for text in part["lost"]] == []
    without = {part["name"] for part in found[image]["debian"] if not part["texts"]}
    assert without == set()
    assert found[image]["runtime"]["texts"], "/opt/java/legal"


@pytest.mark.parametrize("image", IMAGES)
def test_sizes_add_up_to_the_image(engine, found, image):
    # layers hold some files twice, and the engine counts folders too
    areas = sum(found[image]["sizes"]["areas"].values())
    assert 0.9 < areas / engine.images.get(image).attrs["Size"] < 1.1
    assert sum(found[image]["sizes"]["packages"].values()) <= found[image]["sizes"]["areas"]["/opt/venv"]


@pytest.mark.parametrize("image", IMAGES)
def test_the_licence_that_the_jar_leaves_out(engine, image):
    assert "QOS.ch" in run(engine, image, "cat", "/opt/fastai-sagemaker/licenses/slf4j.txt")
