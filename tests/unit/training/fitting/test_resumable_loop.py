"""The loop itself, on a network of one layer: where it begins, what is drawn in a batch, when it writes and stops."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from fastai.callback.core import Callback  # noqa: E402
from fastai.data.core import DataLoaders  # noqa: E402
from fastai.data.load import DataLoader  # noqa: E402
from fastai.optimizer import Adam  # noqa: E402

from fastai_training.fitting import resumable_loop as subject  # noqa: E402
from fastai_training.fitting.callbacks import quiet  # noqa: E402
from fastai_training.fitting.checkpoints import read_checkpoint  # noqa: E402
from fastai_training.fitting.resumable_loop import (  # noqa: E402
    Checkpointer,
    Position,
    ResumableLearner,
    optimizer_state,
    restore_optimizer,
)
from fastai_training.fitting.stop_signal import Stop  # noqa: E402
from fastai_training.world import Processes  # noqa: E402

ITEMS = [(torch.tensor([number / 8, 1.0]), torch.tensor([number / 4])) for number in range(8)]
BATCHES = 4


class Loader(DataLoader):
    """Four batches of two numbers each, from batch ``start`` on."""

    start, epoch = 0, -1

    def get_idxs(self) -> list[int]:
        return list(range(self.start * self.bs, len(self.dataset)))


class Seen(Callback):
    """Notes each batch of training with a number drawn in it."""

    order = 95  # after the checkpointer

    def __init__(self) -> None:
        self.batches: list[tuple[int, int, float]] = []

    def before_batch(self) -> None:
        if self.training:
            self.batches.append((self.epoch, self.iter, torch.rand(1).item()))


def learner() -> ResumableLearner:
    torch.manual_seed(0)
    loaders = DataLoaders(Loader(ITEMS, bs=2), Loader(ITEMS[:2], bs=2))
    made = ResumableLearner(
        loaders, torch.nn.Linear(2, 1), loss_func=torch.nn.functional.mse_loss, opt_func=Adam, lr=0.1
    )
    return quiet(made)


class ToldToStop(Stop):
    """Stands for a SIGTERM that arrives in the ``looks``-th batch."""

    def __init__(self, looks: int) -> None:
        super().__init__()
        self.looks = looks

    @property
    def requested(self) -> bool:
        self.looks -= 1
        return self.looks <= 0


def checkpointer(folder: Path, stop: Stop | None = None, seconds: float = 0) -> Checkpointer:
    return Checkpointer(folder, {"run": "this"}, Processes(), stop or Stop(), 3, seconds, lambda: {"more": 1})


def train(
    folder: Path, stop: Stop | None = None, seconds: float = 0, resumed: dict[str, Any] | None = None
) -> tuple[ResumableLearner, list[tuple[int, int, float]]]:
    """Train two epochs, or what is left of them."""
    made, seen, writer = learner(), Seen(), checkpointer(folder, stop, seconds)
    made.add_cbs([writer, seen])
    writer.begin(0, 0, resumed)
    if resumed:
        made.create_opt()
        made.model.load_state_dict(resumed["model"])
        restore_optimizer(made.opt, resumed["optimizer"], torch.device("cpu"))
    made.fit(2)
    return made, seen.batches


def test_a_batch_stopped_after_is_where_the_next_fit_begins(tmp_path: Path, capsys):
    whole, batches = train(tmp_path / "whole")
    assert [batch[:2] for batch in batches] == [(epoch, number) for epoch in range(2) for number in range(BATCHES)]
    with pytest.raises(SystemExit) as stopped:
        train(tmp_path / "parts", ToldToStop(3))
    assert stopped.value.code == 143
    assert "stopped after batch 3 of epoch 1: " in capsys.readouterr().out
    (path,) = (tmp_path / "parts").iterdir()
    state = read_checkpoint(path)
    assert (state["position"], state["identity"], state["more"]) == (vars(Position(0, 0, 3, 3)), {"run": "this"}, 1)
    resumed, rest = train(tmp_path / "parts", resumed=state)
    assert rest == batches[3:], "the same places, and the same numbers drawn there"
    assert all(map(torch.equal, resumed.model.state_dict().values(), whole.model.state_dict().values()))
    assert resumed.smooth_loss == whole.smooth_loss


def test_the_numbers_drawn_in_a_batch_are_its_own(tmp_path: Path):
    _, batches = train(tmp_path)
    assert len({drawn for _, _, drawn in batches}) == len(batches)


def test_checkpoints_are_written_every_so_many_seconds(tmp_path: Path, monkeypatch):
    clock = iter(range(0, 10**6, 5))
    monkeypatch.setattr(Checkpointer, "_now", lambda _self: next(clock))
    written: list[int] = []
    monkeypatch.setattr(subject, "write_checkpoint", lambda _folder, number, _state: written.append(number))
    train(tmp_path, seconds=10)
    assert written == [2, 4, 4, 6, 8, 8], "after every second batch, and at each epoch's end"
    written.clear()
    train(tmp_path, seconds=0)
    assert written == [4, 8]


def test_only_the_main_process_writes(tmp_path: Path):
    writer = checkpointer(tmp_path)
    writer.processes = Processes(1, 2)
    assert writer.write() is None
    assert list(tmp_path.iterdir()) == []


def test_an_optimizer_goes_on_from_its_state(tmp_path: Path):
    first, _ = train(tmp_path)
    state = copy.deepcopy(optimizer_state(first.opt))  # as a file holds it
    assert all(type(value) is float for group in state["hypers"] for value in group.values())
    other = learner()
    other.create_opt()
    other.model.load_state_dict(first.model.state_dict())
    restore_optimizer(other.opt, state, torch.device("cpu"))
    for each in (first, other):
        each.model(torch.ones(1, 2)).sum().backward()
        each.opt.step()
    assert all(map(torch.equal, other.model.parameters(), first.model.parameters()))
