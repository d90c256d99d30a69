from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from fastai_training.fitting.precision import choose_precision  # noqa: E402
from fastai_training.hyperparameters import HyperParameterError  # noqa: E402


@pytest.mark.parametrize(("asked", "words"), [("fp16", "needs a GPU")])
def test_a_precision_that_cannot_be_had(asked, words):
    with pytest.raises(HyperParameterError, match=words):
        choose_precision(asked, torch.device("cpu"))


@pytest.mark.parametrize(
    ("has", "frozen", "expected"),
    [
        ("matrix", False, "bf16"),
        ("matrix", True, "bf16"),
        ("vector", True, "bf16"),
        ("vector", False, "fp32"),
        ("", True, "fp32"),
    ],
)
def test_precision_follows_the_cpu(monkeypatch, has, frozen, expected):
    monkeypatch.setattr("fastai_training.fitting.precision._cpu_bf16", lambda: has)
    assert choose_precision("auto", torch.device("cpu"), frozen=frozen) == expected
