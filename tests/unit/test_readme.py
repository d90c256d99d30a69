from __future__ import annotations

from fastai_training.hyperparameters import table
from tests.conftest import ROOT


def test_readme_has_the_hyperparameters_as_they_are():
    assert table() in (ROOT / "README.md").read_text(encoding="utf-8"), (
        "paste the output of python -m fastai_training.hyperparameters into README.md"
    )
