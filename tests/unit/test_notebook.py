"""examples/pets.ipynb as a file: tests/local_mode executes it."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

import nbformat
import pytest

from tests.conftest import ROOT

#: The headings of the notebook that users know, in their order.
SECTIONS = [
    "fastai: lesson 1 - Pets example with Amazon SageMaker",
    "Pre-requisites",
    "Overview",
    "Set up the environment",
    "Download the Oxford Pets dataset",
    "Data Preview",
    "Upload the data",
    "Construct a script for training and inference",
    "Script Functions",
    "Predicting Functions",
    "Create a training job using the sagemaker.PyTorch estimator",
    "Deploy the trained model to prepare for predictions",
    "Invoking the endpoint",
    "Clean-up",
]


@pytest.fixture(scope="module")
def notebook() -> nbformat.NotebookNode:
    return nbformat.read(ROOT / "examples" / "pets.ipynb", as_version=4)


def test_it_is_a_valid_notebook(notebook: nbformat.NotebookNode):
    nbformat.validate(notebook)


def test_sections_are_in_their_order(notebook: nbformat.NotebookNode):
    lines = [line for cell in notebook.cells if cell.cell_type == "markdown" for line in cell.source.splitlines()]
    assert [line.lstrip("#").strip() for line in lines if line.startswith("#")] == SECTIONS


def test_every_code_cell_compiles(notebook: nbformat.NotebookNode):
    sources = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    assert sources
    for source in sources:
        compile(source, "cell", "exec")


def test_version_3_of_the_sdk_is_told_where_to_go(notebook: nbformat.NotebookNode, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("importlib.metadata.version", lambda name: "3.27.0")
    first = next(cell.source for cell in notebook.cells if cell.cell_type == "code")
    with pytest.raises(RuntimeError, match=r"version 2 of the SageMaker SDK, here is 3\.27\.0: .*local_mode_sdk3\.py"):
        exec(first, {})


def test_too_few_breeds_are_named(notebook: nbformat.NotebookNode, tmp_path: Path):
    (tmp_path / "shiba_inu_1.jpg").touch()
    (tmp_path / "Bengal_1.jpg").touch()
    cell = next(cell.source for cell in notebook.cells if "held_out =" in cell.source)
    names = {"data_dir": str(tmp_path), "defaultdict": defaultdict, "Path": Path}
    with pytest.raises(ValueError, match="has JPEGs of 2 breeds; three or more are needed"):
        exec(cell, names)


def test_it_holds_no_outputs(notebook: nbformat.NotebookNode):
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not [cell.source for cell in cells if cell.outputs or cell.execution_count is not None]


def test_one_cell_holds_the_parameters_and_starts_locally(notebook: nbformat.NotebookNode):
    [cell] = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", ())]
    first = ast.parse(cell.source).body[0]
    assert ast.unparse(first) == "instance_type = 'local'"
