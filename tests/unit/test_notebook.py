"""examples/pets.ipynb as a file: tests/local_mode executes it."""

from __future__ import annotations

import ast

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


def test_it_holds_no_outputs(notebook: nbformat.NotebookNode):
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not [cell.source for cell in cells if cell.outputs or cell.execution_count is not None]


def test_one_cell_holds_the_parameters_and_starts_locally(notebook: nbformat.NotebookNode):
    [cell] = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", ())]
    first = ast.parse(cell.source).body[0]
    assert ast.unparse(first) == "instance_type = 'local'"
