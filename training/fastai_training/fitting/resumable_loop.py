"""fastai's loop, able to start anywhere: each batch's random numbers and pictures depend on its place alone.

A run is phases of epochs of batches. Order, augmentation and dropout are drawn from (seed, epoch, batch or picture), so
no generator's state needs to be kept, and it doesn't matter how far ahead the loader's workers were.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from fastai.callback.core import Callback, CancelEpochException
from fastai.learner import Learner
from fastcore.foundation import L

from fastai_training import console
from fastai_training.fitting.checkpoints import write_checkpoint
from fastai_training.fitting.ddp import unwrapped
from fastai_training.fitting.stop_signal import Stop
from fastai_training.seeding import seed_everything
from fastai_training.world import Processes


@dataclass(frozen=True)
class Position:
    """Work done: ``batch`` batches of epoch ``epoch`` (from 0) of phase ``phase``; ``total`` batches in all."""

    phase: int = 0
    epoch: int = 0
    batch: int = 0
    total: int = 0


class ResumableLearner(Learner):
    """A Learner whose next fit starts with epoch ``first_epoch``, its loader's ``start``-th batch first."""

    first_epoch = 0

    def _do_fit(self) -> None:
        for epoch in range(self.first_epoch, self.n_epoch):
            self.epoch = epoch
            self._with_events(self._do_epoch, "epoch", CancelEpochException)

    def all_batches(self) -> None:
        self.n_iter = len(self.dl)
        for number, batch in enumerate(self.dl, self.dl.start):
            self.one_batch(number, batch)


def optimizer_state(optimizer: Any) -> dict[str, Any]:
    """The optimizer's state as plain containers of tensors and numbers."""
    state = optimizer.state_dict()
    hypers = [{name: float(value) for name, value in group.items()} for group in state["hypers"]]
    return {"state": [dict(values) for values in state["state"]], "hypers": hypers}


def restore_optimizer(optimizer: Any, state: dict[str, Any], device: torch.device) -> None:
    def moved(value: Any) -> Any:
        return value.to(device) if isinstance(value, torch.Tensor) else value

    values = [{name: moved(value) for name, value in item.items()} for item in state["state"]]
    optimizer.load_state_dict({"state": values, "hypers": L(state["hypers"])})


class Checkpointer(Callback):
    """Seeds each batch; writes checkpoints: at each epoch's end, every ``seconds`` (0: not), and when told to stop.

    ``extra()`` is what else goes into a checkpoint. Call ``begin`` before each phase's fit.
    """

    order = 90  # what a batch or an epoch changes is done
    remove_on_fetch = True

    def __init__(
        self,
        folder: Path,
        identity: dict[str, Any],
        processes: Processes,
        stop: Stop,
        seed: int,
        seconds: float,
        extra: Callable[[], dict[str, Any]],
    ) -> None:
        self.folder, self.identity, self.processes, self.stop = folder, identity, processes, stop
        self.seed, self.seconds, self.extra = seed, seconds, extra
        self.position = Position()
        self.resumed: dict[str, Any] | None = None
        self.epochs_before = 0
        self.last_written = self._now()

    def begin(self, phase: int, epochs_before: int, resumed: dict[str, Any] | None) -> None:
        """The next fit is phase ``phase``; ``resumed`` is the checkpoint it goes on from, if any."""
        self.epochs_before, self.resumed = epochs_before, resumed
        before = Position(**resumed["position"]) if resumed else Position(phase, total=self.position.total)
        self.position = before
        self.learn.first_epoch = before.epoch

    def before_fit(self) -> None:
        if self.resumed is None:
            return
        smooth = self.resumed["smooth_loss"]
        self.recorder.smooth_loss.val, self.recorder.smooth_loss.count = smooth["value"], smooth["count"]
        if self.resumed["scaler"]:
            self.learn.scaler.load_state_dict(self.resumed["scaler"])

    def before_train(self) -> None:
        loader = self.dls.train
        loader.epoch = self.epochs_before + self.epoch
        loader.start = 0
        if self.resumed is not None:
            # A running sum of floats: recomputed, it would differ in its last bits.
            loader.start = self.position.batch
            if self.position.batch:
                self.learn.pct_train, self.learn.train_iter = self.resumed["pct_train"], self.resumed["train_iter"]
            self.resumed = None

    def before_batch(self) -> None:
        if self.training:
            seed_everything(self.seed, self.dls.train.epoch, self.iter, self.processes.rank)

    def _now(self) -> float:
        return time.monotonic()

    def after_batch(self) -> None:
        if self.training:
            place = self.position
            self.position = Position(place.phase, self.epoch, self.iter + 1, place.total + 1)
            if self.processes.any(self.stop.requested):
                self._stop()
            if self.seconds and self._now() - self.last_written >= self.seconds:
                self.write()
        elif self.stop.requested and not self.processes.several:
            self._stop()  # several processes have shards of different lengths: they agree only after them

    def after_validate(self) -> None:
        if self.processes.any(self.stop.requested):
            self._stop()

    def after_epoch(self) -> None:
        place = self.position
        self.position = Position(place.phase, self.epoch + 1, 0, place.total)
        self.write()

    def _stop(self) -> None:
        path = self.write()
        if path is not None:
            place = self.position
            console.log(
                f"stopped after batch {place.batch} of epoch {self.epochs_before + place.epoch + 1}: "
                f"{path.name} is written, the same job goes on from it"
            )
        raise SystemExit(self.stop.exit_code)

    def write(self) -> Path | None:
        """Write a checkpoint in the main process."""
        self.last_written = self._now()
        if not self.processes.is_main:
            return None
        smooth = self.recorder.smooth_loss
        scaler = getattr(self.learn, "scaler", None)
        state = {
            "identity": self.identity,
            "position": asdict(self.position),
            "model": unwrapped(self.learn.model).state_dict(),
            "optimizer": optimizer_state(self.learn.opt),
            "pct_train": float(self.learn.pct_train),
            "train_iter": int(self.learn.train_iter),
            "smooth_loss": {"value": smooth.val.detach().cpu().as_subclass(torch.Tensor), "count": smooth.count},
            "scaler": scaler.state_dict() if scaler is not None and scaler.is_enabled() else {},
        } | self.extra()
        return write_checkpoint(self.folder, self.position.total, state)
