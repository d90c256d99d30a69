"""The head's extra steps while the body is frozen."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from fastai.layers import AdaptiveConcatPool2d  # noqa: E402
from torch import nn  # noqa: E402

from fastai_training.fitting import feature_replay as replay  # noqa: E402
from fastai_training.fitting.checkpoints import list_checkpoints, read_checkpoint  # noqa: E402
from fastai_training.fitting.feature_replay import HeadReplay, trained_part  # noqa: E402
from tests.unit.training.fitting.test_fit import data, equal, run  # noqa: E402, F401 - data is a fixture


def test_the_trained_part_begins_after_the_pooling():
    head = nn.Sequential(AdaptiveConcatPool2d(), nn.Flatten(), nn.BatchNorm1d(8), nn.Dropout(), nn.Linear(8, 2))
    assert isinstance(trained_part(head)[0], nn.BatchNorm1d)
    assert isinstance(trained_part(head[3:])[0], nn.Dropout)


def test_the_head_alone_gets_the_extra_steps(data, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setattr(replay, "STEPS", 0)
    without = run(data, tmp_path / "without", epochs=0, freeze_epochs=2)
    monkeypatch.undo()
    with_them = run(data, tmp_path / "with", epochs=0, freeze_epochs=2)
    assert with_them.history[-1]["epoch"] == 2
    assert with_them.metrics["train_loss"] < without.metrics["train_loss"]
    a, b = without.model.state_dict(), with_them.model.state_dict()
    changed = {name.split(".")[0] for name in a if not torch.equal(a[name], b[name])}
    assert changed == {"1"}


def test_once_the_body_is_trained_there_are_none(data, tmp_path, monkeypatch):  # noqa: F811
    from_scratch = run(data, tmp_path / "a", pretrained=False, epochs=1)
    monkeypatch.setattr(replay, "STEPS", 0)
    assert equal(from_scratch, run(data, tmp_path / "b", pretrained=False, epochs=1))


def test_the_newest_features_are_kept_and_reach_the_checkpoint(data, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setattr(replay, "KEPT", 6)
    run(data, tmp_path, epochs=1, freeze_epochs=1)
    after_whole, after_head = (read_checkpoint(path)["replay"] for path in list_checkpoints(tmp_path))
    assert len(after_head["features"]) == len(after_head["targets"]) == 6
    assert len(after_whole["features"]) == 0


def test_what_a_checkpoint_holds_is_a_copy():
    one, other = HeadReplay(), HeadReplay()
    one.features, one.targets = torch.ones(4, 2)[2:], torch.tensor([1, 2])
    state = one.state()
    # A slice's file would hold all of what it was cut from.
    assert state["features"].untyped_storage().nbytes() == 2 * 2 * 4
    other.restore(state)
    assert torch.equal(other.features, one.features)
