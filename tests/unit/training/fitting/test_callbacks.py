from __future__ import annotations

import re

import numpy as np
import pytest

pytest.importorskip("torch")

from fastai_training.data.labels import DataError, Example
from fastai_training.data.late_check import READ, UNREADABLE, LateCheck
from fastai_training.fitting.callbacks import MergeMarks, Progress, duration
from fastai_training.metrics import EPOCH_METRICS, definitions


@pytest.mark.parametrize(
    ("seconds", "text"), [(-1, "0s"), (0, "0s"), (59.4, "59s"), (59.6, "1m00s"), (185, "3m05s"), (3725, "1h02m")]
)
def test_a_duration_is_short(seconds, text):
    assert duration(seconds) == text


class Recorder:
    metric_names = ("epoch", "train_loss", "valid_loss", "error_rate", "balanced_accuracy", "f1_macro", "time")
    log = (0, 0.43214, 0.321, 0.125, 0.875, 0.75, "00:01")


class Loop:
    """What Progress reads of fastai's Learner."""

    def __init__(self, batches: int) -> None:
        self.recorder = Recorder()
        self.dls = type("Loaders", (), {"train": [0] * batches, "valid": [0] * 2})
        self.training, self.iter, self.yb = True, 0, ([0] * 8,)


def one_epoch(progress: Progress, loop: Loop) -> None:
    progress.learn = loop
    progress.before_epoch()
    for number in range(len(loop.dls.train)):
        loop.iter = number
        progress.after_batch()
    progress.after_epoch()


def test_the_line_of_an_epoch_has_its_fixed_form(capsys):
    progress = Progress(2)
    one_epoch(progress, Loop(3))
    line = capsys.readouterr().out.splitlines()[-1]
    form = (
        r"epoch=1 train_loss=0\.4321 valid_loss=0\.3210 error_rate=0\.1250 balanced_accuracy=0\.8750 f1_macro=0\.7500 "
    )
    assert re.fullmatch(form + r"images_per_second=\d+\.\d eta=\w+", line)
    for definition in definitions()[: len(EPOCH_METRICS)]:
        match = re.search(definition["Regex"], line)
        assert match
        assert float(match.group(1)) == pytest.approx(progress.history[0][definition["Name"]], abs=0.06)


def test_a_log_gets_few_lines_inside_an_epoch(capsys, monkeypatch):
    progress = Progress(1)
    one_epoch(progress, Loop(100))
    assert len(capsys.readouterr().out.splitlines()) == 1
    monkeypatch.setattr("fastai_training.fitting.callbacks.LOG_INTERVAL", 0.0)
    one_epoch(progress, Loop(10))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 11
    assert re.fullmatch(r"epoch 2/1 +\d+% time left \w+", lines[0])


def test_only_the_main_process_speaks(capsys):
    progress = Progress(1, shown=False, processes=2)
    one_epoch(progress, Loop(3))
    assert capsys.readouterr().out == ""
    assert len(progress.history) == 1


def test_an_epoch_that_was_begun_before_counts_whole():
    progress = Progress(2)
    one_epoch(progress, Loop(2))
    state = progress.state() | {"epoch": {"images": 16, "train_seconds": 4.0, "seconds": 5.0}}
    resumed = Progress(2)
    resumed.resume(state, inside_epoch=True)
    one_epoch(resumed, Loop(2))
    assert resumed.history[0] == progress.history[0]
    assert resumed.history[1]["seconds"] >= 5
    assert resumed.history[1]["images_per_second"] == pytest.approx(32 / 4, rel=0.01)


class TwoProcesses:
    """Stands for two processes, of which the other says ``theirs``."""

    def __init__(self, *theirs: int) -> None:
        self.theirs = np.array(theirs, dtype=np.uint8)

    def gather(self, mine):
        return [mine, self.theirs]


def test_after_an_epoch_every_process_knows_what_the_others_could_not_read(tmp_path):
    late = LateCheck([Example(tmp_path / f"{number}.jpg", "a") for number in range(4)], 32, strict=False)
    late.marks[:2] = READ
    MergeMarks(late, TwoProcesses(0, 0, READ, UNREADABLE)).after_train()
    assert late.marks.tolist() == [READ, READ, READ, UNREADABLE]
    with pytest.raises(DataError, match="3 of the 4 training pictures seen so far can't be read"):
        MergeMarks(late, TwoProcesses(UNREADABLE, UNREADABLE, READ, READ)).after_train()
