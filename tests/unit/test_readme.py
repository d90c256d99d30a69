from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastai_training.hyperparameters import table
from tests.conftest import ROOT


def documents() -> Iterator[Path]:
    yield from ROOT.glob("*.md")
    for folder in ("docs", "docker", "examples", "serving", "training", "container", "benchmarks"):
        yield from (ROOT / folder).rglob("*.md")


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


def test_where_to_change_what_names_files_that_are_there():
    """And at most four for each change: more would mean that a fact has several owners."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = [row.split("|") for row in text.splitlines() if row.startswith(("| a ", "| an ", "| the ", "| what "))]
    assert len(rows) == 10
    for _, change, files, _ in rows:
        named = [name for name in re.findall(r"`([^`]+)`", files) if "/" in name or name.endswith(".md")]
        assert 2 <= len(named) <= 4, change
        for name in named:
            assert (ROOT / name).exists(), f"{change}: {name}"


def test_figures_are_those_of_the_committed_results():
    table = (ROOT / "README.md").read_text(encoding="utf-8").partition("## How fast")[2].partition("\n## ")[0]
    rows = [row.split("|") for row in table.splitlines() if "benchmarks/results/" in row]
    assert len(rows) == 5
    for _, what, ours, beside, link, _ in rows:
        results = re.search(r"\((.+)\)", link)
        assert results
        text = (ROOT / results[1]).read_text(encoding="utf-8").replace(",", "")
        figures = re.findall(r"\d+(?:\.\d+)?", ours + re.sub(r"lesson \d", "", beside))
        assert figures, what
        for figure in figures:
            # a result may have more digits than the README shows of it
            assert re.search(rf"(?<![\d.]){re.escape(figure)}", text), f"{what}: {figure} is not in {results[1]}"
