"""What may be said of a learner and its answers without torch or fastai; test_script_model.py runs the rest."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from fastai_serving.errors import ErrorCode
from fastai_serving.responses import RequestError
from fastai_serving.user_code import torch_models
from fastai_serving.user_code.torch_models import (
    fastai_picture,
    is_learner,
    is_module,
    learner_content,
    runs_torchscript,
)


def learner(vocab: list) -> SimpleNamespace:
    return SimpleNamespace(dls=SimpleNamespace(vocab=vocab))


def test_a_learner_is_known_by_its_class_alone():
    theirs = type("Learner", (), {"__module__": "fastai.learner"})
    assert is_learner(type("Mine", (theirs,), {})())
    assert not is_learner(type("Learner", (), {"__module__": "other.learner"})())


def test_nothing_is_a_module_where_nobody_imported_torch(monkeypatch):
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    assert not is_module(object())


def test_fastais_own_picture_where_the_script_imported_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "fastai.vision.core", None)
    assert fastai_picture("image") == "image"
    core = ModuleType("fastai.vision.core")
    core.PILImage = SimpleNamespace(create=lambda image: ("PILImage", image))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "fastai.vision.core", core)
    assert fastai_picture("image") == ("PILImage", "image")


def test_a_label_among_several_is_said_as_the_built_in_model_does():
    result = ("b", np.int64(1), np.array([0.25, 0.75]))
    content, ours = learner_content(learner(["a", "b"]), result, lambda classes: classes - 1)
    assert ours
    assert content == {"class": "b", "confidence": 0.75, "predictions": [{"class": "b", "confidence": 0.75}]}


def test_a_wrong_top_k_is_the_clients_error():
    def refuse(classes: int) -> int:
        raise RequestError(ErrorCode.BAD_CUSTOM_ATTRIBUTE, f"1 to {classes}")

    with pytest.raises(RequestError, match="1 to 2"):
        learner_content(learner(["a", "b"]), ("b", np.int64(1), np.array([0.25, 0.75])), refuse)


def test_torchscript_is_run_only_without_a_model_of_ours(monkeypatch, tmp_path: Path):
    monkeypatch.setattr(torch_models, "is_installed", lambda name: True)
    monkeypatch.setattr(torch_models, "torchscript", lambda folder: folder / "model.pt")
    assert runs_torchscript(tmp_path)
    monkeypatch.setattr(torch_models, "is_installed", lambda name: False)
    assert not runs_torchscript(tmp_path)
    monkeypatch.setattr(torch_models, "is_installed", lambda name: True)
    (tmp_path / "model.json").write_text("{}")
    assert not runs_torchscript(tmp_path)
