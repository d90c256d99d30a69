from __future__ import annotations

import math
import re
from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")

from fastai.callback.core import CancelFitException  # noqa: E402
from torch import nn  # noqa: E402

from fastai_training.fitting import best_epoch  # noqa: E402
from fastai_training.fitting.best_epoch import BestEpoch, EarlyStopping, stopping_told  # noqa: E402
from fastai_training.fitting.callbacks import Progress  # noqa: E402
from fastai_training.fitting.checkpoints import list_checkpoints  # noqa: E402
from fastai_training.hyperparameters import HyperParameters  # noqa: E402
from fastai_training.metrics import definitions  # noqa: E402
from fastai_training.world import Processes  # noqa: E402
from tests.unit.training.fitting.test_fit import StopAfter, data, equal, run  # noqa: E402, F401 - data is a fixture


def row(epoch: int, error: float, loss: float) -> dict[str, float]:
    scores = {"train_loss": 0.5, "balanced_accuracy": 1 - error, "f1_macro": 1 - error}
    return {"epoch": epoch, "error_rate": error, "valid_loss": loss} | scores


def train(callback: BestEpoch, rows: list[tuple[float, float]]) -> nn.Linear:
    """Weights that are the epoch's number."""
    model = nn.Linear(1, 1)
    callback.learn = SimpleNamespace(model=model)
    for error, loss in rows:
        number = len(callback.progress.history) + 1
        callback.progress.history.append(row(number, error, loss))
        nn.init.constant_(model.weight, number)
        callback.after_epoch()
    return model


@pytest.mark.parametrize(
    ("rows", "kept"),
    [
        ([(0.5, 1), (0.2, 1), (0.3, 0.1)], 2),
        ([(0.2, 0.9), (0.2, 0.8), (0.2, 0.8)], 2),
        ([(0.2, math.nan), (0.2, 5.0), (0.2, math.nan)], 2),
        ([(0.3, 1)], 1),
    ],
)
def test_the_lowest_error_is_kept_and_of_equal_ones_the_lowest_loss(rows, kept):
    callback = BestEpoch(Progress(4), Processes())
    model = train(callback, rows)
    said: list[str] = []
    callback.export(model, said.append)
    assert float(model.weight) == kept
    assert said[0].startswith(f"keeping epoch={kept} of {len(rows)}, the best: train_loss=0.5000 valid_loss=")


def test_what_a_checkpoint_holds_is_gone_on_from():
    first, other = (BestEpoch(Progress(3), Processes()) for _ in range(2))
    train(first, [(0.5, 1), (0.2, 1)])
    other.progress.history = list(first.progress.history)
    other.restore(first.state())
    model = train(other, [(0.4, 1)])
    other.export(model, lambda _text: None)
    assert float(model.weight) == 2


def test_a_tuner_reads_the_kept_epochs_values_last():
    said: list[str] = []
    callback = BestEpoch(Progress(2), Processes())
    callback.export(train(callback, [(0.25, 1), (0.5, 2)]), said.append)
    regex = next(definition["Regex"] for definition in definitions() if definition["Name"] == "error_rate")
    assert re.search(regex, said[0]).group(1) == "0.2500"


def epochs_until_stop(errors: list[float], patience: int, state: dict | None = None) -> tuple[int, EarlyStopping]:
    said: list[str] = []
    callback = EarlyStopping(patience, Progress(9), Processes(), said.append)
    if state:
        callback.restore(state)
    for number, error in enumerate(errors):
        try:
            callback.before_epoch()
        except CancelFitException:
            assert "stopping early" in said[0]
            return number, callback
        callback.progress.history.append(row(number + 1, error, 1))
        callback.after_epoch()
    return len(errors), callback


def test_training_stops_after_so_many_epochs_without_a_lower_error():
    errors = [0.5, 0.4, 0.4, 0.3, 0.3, 0.35, 0.3, 0.1, 0.1]
    assert epochs_until_stop(errors, 3)[0] == 7
    assert epochs_until_stop(errors, 1)[0] == 3
    assert epochs_until_stop(errors, 4)[0] == 9


def test_epochs_before_a_restart_count():
    _, callback = epochs_until_stop([0.3, 0.3], 3)
    assert epochs_until_stop([0.3, 0.4, 0.1], 3, callback.state())[0] == 2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, ""),
        ({"early_stopping": 2, "epochs": 9, "keep": "best"}, ""),
        ({"early_stopping": 2, "epochs": 9}, "keep=best exports that"),
        ({"early_stopping": 3, "keep": "best"}, "can't stop 4 epochs"),
    ],
)
def test_what_may_disappoint_is_told(options, words):
    told = stopping_told(HyperParameters(**options))
    assert words in told
    assert bool(words) == bool(told)


def test_a_run_that_was_stopped_anywhere_keeps_and_ends_with_the_same(data, tmp_path, monkeypatch, capsys):  # noqa: F811
    # The tiny network learns nothing here: the order of its epochs is set by hand, the second is the best.
    monkeypatch.setattr(best_epoch, "_rank", lambda row: (abs(row["epoch"] - 2), 0.0))
    options = {"keep": "best", "epochs": 5, "early_stopping": 2}
    whole = run(data, tmp_path / "whole", **options)
    log = capsys.readouterr().out
    assert "keeping epoch=2 of " in log
    assert "stopping early" in log
    assert (len(whole.history), whole.epoch) == (4, 2)
    assert whole.metrics["valid_loss"] == whole.history[1]["valid_loss"]
    assert whole.metrics["error_rate"] == pytest.approx(whole.history[1]["error_rate"])
    for looks in (12, 6):  # with the best epoch just behind, and with it in the checkpoint alone
        with pytest.raises(SystemExit):
            run(data, tmp_path / "stopped", StopAfter(looks), **options)
    again = run(data, tmp_path / "stopped", **options)
    assert equal(whole, again)
    assert [r["epoch"] for r in again.history] == [r["epoch"] for r in whole.history]
    newest = list_checkpoints(tmp_path / "stopped")[0].stat().st_mtime_ns
    assert equal(whole, run(data, tmp_path / "stopped", **options)), "a finished run trains no more"
    assert list_checkpoints(tmp_path / "stopped")[0].stat().st_mtime_ns == newest
