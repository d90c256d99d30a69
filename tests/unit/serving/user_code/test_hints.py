from __future__ import annotations

import pytest

from fastai_container.errors import UserError
from fastai_serving.user_code import hints
from fastai_serving.user_code.hints import explained, hint


def missing(name: str) -> ModuleNotFoundError:
    return ModuleNotFoundError(f"No module named {name!r}", name=name)


def test_what_is_missing_and_where_it_is(monkeypatch):
    monkeypatch.setattr(hints, "is_installed", lambda name: name == "fastai_training")
    assert hint(missing("torch.nn"), "mine.py") == "mine.py needs torch, which is not installed here"
    monkeypatch.setattr(hints, "is_installed", lambda name: False)
    assert hint(missing("torch"), "mine.py") == (
        "mine.py needs torch, which the serving image has not: serve it with the training image "
        "(fastai-sagemaker-training)"
    )
    assert "name its package in a requirements.txt" in str(hint(missing("xgboost.core"), "mine.py"))


def test_an_error_without_a_known_cure_stays_as_it_is():
    assert hint(ValueError("odd"), "mine.py") is None
    with pytest.raises(ValueError, match=r"^odd$"), explained("mine.py"):
        raise ValueError("odd")


def test_the_cause_of_an_error_is_looked_at_too():
    outer = RuntimeError("while loading")
    outer.__cause__ = missing("nowhere_to_be")
    with (
        pytest.raises(UserError, match="imports nowhere_to_be, which is not installed"),
        explained("mine.py"),
    ):
        raise outer


def test_nothing_is_imported_to_find_out():
    assert hints.is_installed("json")
    assert not hints.is_installed("nowhere_to_be")
    assert not hints.is_installed("")
