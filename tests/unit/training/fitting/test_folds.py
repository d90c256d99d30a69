"""Heads trained on folds of the pretrained body's features."""

from __future__ import annotations

import random
import statistics

import pytest

torch = pytest.importorskip("torch")

from fastai_training.data.sources import find_examples  # noqa: E402
from fastai_training.fitting.folds import fold_errors, fold_facts, fold_line  # noqa: E402
from fastai_training.fitting.models import build_classifier  # noqa: E402
from fastai_training.hyperparameters import HyperParameters  # noqa: E402
from fastai_training.world import Processes  # noqa: E402
from tests.unit.training.fitting.test_fit import data, equal, run  # noqa: E402, F401 - data is a fixture
from tests.unit.training_data import ARCH  # noqa: E402


def measure(data, **options):  # noqa: F811
    examples = find_examples(data / "training")
    values = {"arch": ARCH, "batch_size": 8, "image_size": 32, "workers": 0, "folds": 3, "precision": "fp32"}
    torch.manual_seed(4)
    classifier = build_classifier(ARCH, 3, pretrained=True, weights_channel=data / "weights", image_size=32)
    parameters = HyperParameters(**(values | options))
    errors = fold_errors(classifier, examples.items, examples.vocab, parameters, torch.device("cpu"), 0, Processes())
    return classifier, errors


def test_each_fold_has_the_error_of_a_head_that_did_not_see_it(data):  # noqa: F811
    _, errors = measure(data)
    assert len(errors) == 3
    # Seven pictures of each of three colours, in parts of seven: an error rate is a number of sevenths.
    assert all(round(error * 7, 3) in range(8) for error in errors)
    assert statistics.fmean(errors) < 0.3, "two of three would be guessing"


def test_labels_that_say_nothing_are_not_learnt_from_the_pictures_that_are_asked(data, monkeypatch):  # noqa: F811
    # A head that had seen them would know them by heart.
    examples = find_examples(data / "training")
    labels = [item.label for item in examples.items]
    random.Random(3).shuffle(labels)
    shuffled = [type(item)(item.path, label) for item, label in zip(examples.items, labels, strict=True)]
    monkeypatch.setattr(examples, "items", shuffled)
    monkeypatch.setattr("tests.unit.training.fitting.test_folds.find_examples", lambda _folder: examples)
    _, errors = measure(data)
    assert statistics.fmean(errors) > 0.4


def test_the_same_seed_gives_the_same_and_nothing_else_is_touched(data):  # noqa: F811
    classifier, errors = measure(data)
    before = {name: value.clone() for name, value in classifier.model.state_dict().items()}
    torch.manual_seed(1)
    random.seed(1)
    expected = torch.rand(1), random.random()
    torch.manual_seed(1)
    random.seed(1)
    examples = find_examples(data / "training")
    parameters = HyperParameters(arch=ARCH, batch_size=8, image_size=32, workers=0, folds=3, precision="fp32")
    again = fold_errors(classifier, examples.items, examples.vocab, parameters, torch.device("cpu"), 0, Processes())
    assert again == errors
    assert (torch.rand(1), random.random()) == expected
    assert all(torch.equal(value, before[name]) for name, value in classifier.model.state_dict().items())


def test_a_run_with_folds_ends_with_the_weights_of_one_without(data, tmp_path, capsys):  # noqa: F811
    without = run(data, tmp_path / "a", epochs=1)
    assert without.folds == []
    assert "folds=" not in capsys.readouterr().out
    with_them = run(data, tmp_path / "b", epochs=1, folds=2)
    assert len(with_them.folds) == 2
    assert equal(without, with_them)
    assert fold_line(with_them.folds) in capsys.readouterr().out.splitlines()


def test_the_line_and_the_summary_have_the_spread():
    errors = [0.1, 0.2, 0.3]
    assert fold_line(errors).startswith("folds=3 error_rate mean=0.2000 sd=0.1000 (min 0.1000 max 0.3000)")
    assert fold_facts(errors) == {"error_rates": errors, "mean": 0.2, "standard_deviation": 0.1}


def test_a_rate_that_is_to_be_found_is_the_default(data):  # noqa: F811
    assert measure(data, lr="auto")[1] == measure(data, lr=HyperParameters().lr)[1]
