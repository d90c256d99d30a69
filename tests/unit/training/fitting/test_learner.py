"""A learner for a user's own loop: what is added to the loaders, and what is trained of a pretrained network."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("fastai")

import torch
from fastai.vision.all import (
    ImageDataLoaders,
    LabelSmoothingCrossEntropy,
    Normalize,
    Resize,
    accuracy,
)

from fastai_container.errors import UserError
from fastai_training.data import loaders as data_loaders
from fastai_training.fitting import learner as subject
from tests.documented import write_pictures
from tests.unit.training_data import ARCH, write_weights


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("pictures"), 8)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("channels") / "weights"
    write_weights(folder)
    return folder


def loaders(pictures: Path, **options) -> ImageDataLoaders:
    given = {"item_tfms": Resize(32), "bs": 4, "num_workers": 0, "seed": 1, "device": "cpu"} | options
    return ImageDataLoaders.from_folder(pictures, valid_pct=0.3, **given)


def normalized(learner) -> list[list[float]]:
    """The mean of each ``Normalize`` of the learner's loaders."""
    found = [transform for transform in learner.dls.valid.after_batch.fs if isinstance(transform, Normalize)]
    return [transform.mean.flatten().tolist() for transform in found]


def test_loaders_without_a_size_are_refused(pictures: Path):
    with pytest.raises(UserError, match=r"use item_tfms=Resize\(SIZE\)"):
        subject.make_learner(loaders(pictures, item_tfms=None), "resnet18", False, None, {})


def test_pictures_are_normalized_as_the_weights_were_unless_the_loaders_do_it(pictures: Path):
    made = subject.make_learner(loaders(pictures), "resnet18", False, None, {})
    assert normalized(made) == [pytest.approx([0.485, 0.456, 0.406])]
    own = Normalize.from_stats([0.1] * 3, [0.2] * 3, cuda=False)
    made = subject.make_learner(loaders(pictures, batch_tfms=[own]), "resnet18", False, None, {})
    assert normalized(made) == [pytest.approx([0.1] * 3)]


def test_of_pretrained_weights_the_head_alone_is_trained_at_first(pictures: Path, weights: Path):
    made = subject.make_learner(loaders(pictures), ARCH, True, weights, {})
    body, head = ([value.requires_grad for value in part.parameters()] for part in made.model)
    assert all(head)
    assert not all(body)
    start = torch.load(weights / f"{ARCH}.pth")
    assert torch.equal(made.model[0].model.conv_stem.weight.cpu(), start["conv_stem.weight"])
    scratch = subject.make_learner(loaders(pictures), ARCH, False, None, {})
    assert all(value.requires_grad for value in scratch.model.parameters())


def test_options_are_the_learners_and_go_before_ours(pictures: Path):
    loss, metric = LabelSmoothingCrossEntropy(), accuracy
    made = subject.make_learner(loaders(pictures), "resnet18", False, None, {"loss_func": loss, "metrics": metric})
    assert made.loss_func is loss
    assert [each.name for each in made.metrics] == ["accuracy"]
    assert made.arch == "resnet18"


def test_too_little_shared_memory_is_told(monkeypatch, capsys):
    monkeypatch.setattr(data_loaders, "cpu_count", lambda: 8)
    monkeypatch.setattr(data_loaders, "shared_memory_free_bytes", lambda: None)
    assert subject.count_workers(64, (128, 224)) == 8
    assert capsys.readouterr().out == ""
    monkeypatch.setattr(data_loaders, "shared_memory_free_bytes", lambda: 0)
    assert subject.count_workers(64, 224) == 0
    assert "docker run --shm-size" in capsys.readouterr().out
