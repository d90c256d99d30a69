from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from fastai_training.fitting.mixing import SeededCutMix, SeededMixUp, mixing_callback, mixing_told  # noqa: E402
from fastai_training.hyperparameters import HyperParameters  # noqa: E402
from fastai_training.world import Processes  # noqa: E402
from tests.unit.training.fitting.test_fit import StopAfter, data, equal, run  # noqa: E402, F401 - data is a fixture


def test_each_has_fastais_callback_of_its_own_seed():
    assert mixing_callback(HyperParameters(), Processes()) is None
    blended = mixing_callback(HyperParameters(mixup=0.2, seed=7), Processes(1, 2))
    assert isinstance(blended, SeededMixUp)
    assert (blended.seed, blended.rank) == (7, 1)
    assert isinstance(mixing_callback(HyperParameters(cutmix=1), Processes()), SeededCutMix)


def test_the_log_says_which_epochs_are_mixed():
    assert mixing_told(HyperParameters()) == ""
    assert mixing_told(HyperParameters(mixup=0.2)) == (
        "mixup=0.2: pictures are mixed in the 4 epochs that train the whole network, "
        "not in the 1 that train the head alone"
    )
    assert mixing_told(HyperParameters(cutmix=1, pretrained=False)) == (
        "cutmix=1: pictures are mixed in the 4 epochs that train the whole network"
    )


@pytest.mark.parametrize("options", [{"mixup": 0.4}, {"cutmix": 1.0, "label_smoothing": 0.1}], ids=["mixup", "cutmix"])
def test_it_takes_effect_once_the_body_is_trained_and_a_stop_changes_nothing(data, tmp_path, monkeypatch, options):  # noqa: F811
    from fastai_training.fitting.resumable_loop import Checkpointer

    mixed = []

    def look(self):
        if self.training:
            mixed.append(self.learn.loss_func.__name__ == "lf" if hasattr(self.learn.loss_func, "__name__") else False)

    monkeypatch.setattr(Checkpointer, "after_pred", look, raising=False)
    whole = run(data, tmp_path / "whole", **options)
    batches = len(mixed) // 3
    assert mixed == [False] * batches + [True] * 2 * batches, "one epoch of the head, two of the whole network"
    monkeypatch.undo()
    plain = run(data, tmp_path / "plain", label_smoothing=options.get("label_smoothing", 0))
    assert plain.history[0]["valid_loss"] == whole.history[0]["valid_loss"]
    assert not equal(whole, plain)
    for looks in (9, 5):  # inside the first epoch of the whole network, and inside the second
        with pytest.raises(SystemExit):
            run(data, tmp_path / "stopped", StopAfter(looks), **options)
    assert equal(whole, run(data, tmp_path / "stopped", **options))
