from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from fastai.vision.all import CrossEntropyLossFlat  # noqa: E402
from torch.nn.functional import cross_entropy  # noqa: E402

from fastai_training.data.labels import Example  # noqa: E402
from fastai_training.fitting.training_loss import TrainingLoss, choose_loss  # noqa: E402
from fastai_training.hyperparameters import HyperParameters  # noqa: E402
from tests.unit.training.fitting.test_fit import StopAfter, equal, run  # noqa: E402
from tests.unit.training_data import write_pictures, write_weights  # noqa: E402

TRAIN, VOCAB = [Example(Path(f"{number}.jpg"), label) for number, label in enumerate("aaab")], ["a", "b"]
PREDICTED, TARGETS = torch.tensor([[2.0, 1.0], [0.0, 0.5], [1.0, -1.0], [0.3, 0.1]]), torch.tensor([0, 0, 0, 1])


def test_by_default_it_is_fastais():
    assert type(choose_loss(HyperParameters(), TRAIN, VOCAB)) is CrossEntropyLossFlat


def test_each_picture_weighs_as_its_class_does():
    loss = choose_loss(HyperParameters(class_weights="balanced"), TRAIN, VOCAB)
    each = cross_entropy(PREDICTED, TARGETS, reduction="none")
    assert float(loss(PREDICTED, TARGETS)) == pytest.approx(float((each[:3].mean() + each[3]) / 2))


def test_labels_are_smoothed():
    loss = choose_loss(HyperParameters(label_smoothing=0.2), TRAIN, VOCAB)
    assert torch.equal(loss(PREDICTED, TARGETS), cross_entropy(PREDICTED, TARGETS, label_smoothing=0.2))


def test_what_is_validated_is_plain_cross_entropy():
    loss = TrainingLoss([0.5, 1.5], 0.3).eval()
    assert torch.equal(loss(PREDICTED, TARGETS), cross_entropy(PREDICTED, TARGETS))


@pytest.fixture(scope="module")
def unequal(tmp_path_factory):
    folder = tmp_path_factory.mktemp("unequal")
    write_pictures(folder / "training", 10, ("red", "green"))
    write_pictures(folder / "training", 3, ("blue",))
    write_weights(folder / "weights")
    return folder


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"class_weights": "sqrt"}, "for blue, the rarest class (2 pictures)"),
        ({"sampling": "balanced"}, "one of blue, the rarest class, comes 3 times"),
        ({"label_smoothing": 0.1}, ""),
    ],
    ids=lambda value: next(iter(value), "") if isinstance(value, dict) else "",
)
def test_each_takes_effect_and_a_run_that_was_stopped_ends_the_same(unequal, tmp_path, capsys, options, told):
    whole = run(unequal, tmp_path / "whole", epochs=1, **options)
    assert told in capsys.readouterr().out
    assert not equal(whole, run(unequal, tmp_path / "plain", epochs=1))
    with pytest.raises(SystemExit):
        run(unequal, tmp_path / "stopped", StopAfter(6), epochs=1, **options)
    assert equal(whole, run(unequal, tmp_path / "stopped", epochs=1, **options))
