from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastai_training.hyperparameters import table
from tests.conftest import ROOT


def documents() -> Iterator[Path]:
    yield from ROOT.glob("*.md")
    for room in ("docs", "docker", "examples", "serving", "training", "container", "benchmarks"):
        yield from (ROOT / room).rglob("*.md")


def test_readme_has_the_hyperparameters_as_they_are():
    assert table() in (ROOT / "README.md").read_text(encoding="utf-8"), (
        "paste the output of python -m fastai_training.hyperparameters into README.md"
    )


@pytest.mark.parametrize("document", sorted(str(path.relative_to(ROOT)) for path in documents()))
def test_links_lead_somewhere(document: str):
    path = ROOT / document
    for target in re.findall(r"\]\(([^)\s#]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (path.parent / target).exists(), f"{document} links to {target}, which isn't there"
