"""What the trainer adds to fastai's training loop: precision, progress, the line of metrics for each epoch."""

from __future__ import annotations

import math
import sys
import time
from typing import Any

import torch
from fastai.callback.core import Callback, TrainEvalCallback
from fastai.callback.progress import ProgressCallback
from fastai.learner import Recorder
from torch import nn

from fastai_training.data.late_check import LateCheck
from fastai_training.fitting.ddp import unwrapped
from fastai_training.world import Processes

#: In a log, a line of progress inside an epoch at most this often (seconds).
LOG_INTERVAL = 20.0


class CpuBFloat16(Callback):
    """bf16 autocast on a CPU; fastai's own MixedPrecision is for CUDA. The loss stays in fp32."""

    order = 10

    def before_batch(self) -> None:
        self.autocast = torch.autocast("cpu", dtype=torch.bfloat16)
        self.autocast.__enter__()

    def after_pred(self) -> None:
        self.autocast.__exit__(None, None, None)
        self.learn.pred = self.pred.float()

    def after_cancel_batch(self) -> None:
        self.autocast.__exit__(None, None, None)


def duration(seconds: float) -> str:
    """``seconds`` as 42s, 3m05s or 1h02m."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole}s"
    return f"{whole // 60}m{whole % 60:02d}s" if whole < 3600 else f"{whole // 3600}h{whole % 3600 // 60:02d}m"


class MergeMarks(Callback):
    """After each epoch of training every process knows which pictures the others could not read.

    Raises DataError when they are most of those that were seen.
    """

    remove_on_fetch = True

    def __init__(self, late: LateCheck, processes: Processes) -> None:
        self.late, self.processes = late, processes

    def after_train(self) -> None:
        self.late.merge(self.processes.gather(self.late.state()))
        self.late.require_enough()


class Progress(Callback):
    """One line an epoch in a fixed form, and time left inside it: a bar on a terminal, sparse lines in a log.

    ``epoch=2 train_loss=0.4321 valid_loss=0.3210 error_rate=0.1234 balanced_accuracy=0.8712 f1_macro=0.8690
    images_per_second=41.5 eta=3m05s`` on one line. Epochs are counted over all phases from 1. ``history`` holds a row
    (a dict of these values and of seconds) for each.
    """

    remove_on_fetch = True
    order = 60  # after the Recorder has computed the epoch's values

    def __init__(self, epochs: int, *, shown: bool = True, processes: int = 1) -> None:
        self.epochs, self.shown, self.processes = epochs, shown, processes
        self.history: list[dict[str, float]] = []
        self.is_terminal = sys.stdout.isatty()
        self.started = self.last_line = time.monotonic()
        # A run that goes on from a checkpoint has done this already, in another process's time.
        self.done_before, self.seconds_before = 0.0, 0.0
        self.partial: dict[str, float] | None = None
        self.images, self.train_seconds = 0, 0.0
        self.epoch_started = self.started

    def state(self) -> dict[str, Any]:
        """For a checkpoint; ``resume`` takes it."""
        return {
            "history": self.history,
            "seconds": self.seconds(),
            "epoch": {
                "images": self.images,
                "train_seconds": self.train_seconds,
                "seconds": time.monotonic() - self.epoch_started,
            },
        }

    def resume(self, state: dict[str, Any], *, inside_epoch: bool) -> None:
        """Go on after what ``state`` says was done."""
        self.history = list(state["history"])
        self.done_before, self.seconds_before = float(len(self.history)), state["seconds"]
        self.partial = state["epoch"] if inside_epoch else None

    def seconds(self) -> float:
        """Spent in training, before a stop too."""
        return self.seconds_before + time.monotonic() - self.started

    def _share_done(self) -> float:
        """Share of the current epoch that is done; validation counts by its batches."""
        train, valid = len(self.dls.train), len(self.dls.valid)
        # A validation batch has no backward pass: about a third of the work.
        done = self.iter + 1 if self.training else train + (self.iter + 1) / 3
        return done / (train + valid / 3)

    def _eta(self, share: float) -> float:
        done = len(self.history) + share
        here = done - self.done_before
        return (time.monotonic() - self.started) / here * (self.epochs - done) if here > 0 else math.nan

    def before_epoch(self) -> None:
        before = self.partial or {"images": 0, "train_seconds": 0.0, "seconds": 0.0}
        self.partial = None
        self.epoch_started = time.monotonic() - before["seconds"]
        self.images, self.train_seconds = int(before["images"]), before["train_seconds"]
        self.batch_started = time.monotonic()

    def after_batch(self) -> None:
        if self.training:
            self.images += len(self.yb[0]) * self.processes
            self.train_seconds += time.monotonic() - self.batch_started
        now = self.batch_started = time.monotonic()
        if not self.shown or now - self.last_line < (0.2 if self.is_terminal else LOG_INTERVAL):
            return
        self.last_line = now
        share = self._share_done()
        text = f"epoch {len(self.history) + 1}/{self.epochs} {share:4.0%} time left {duration(self._eta(share))}"
        if self.is_terminal:
            filled = round(30 * share)
            print(f"\r[{'#' * filled}{'.' * (30 - filled)}] {text}\x1b[K", end="", flush=True)
        else:
            print(text, flush=True)

    def after_epoch(self) -> None:
        if self.is_terminal and self.shown:
            print("\r\x1b[K", end="")
        names, values = self.recorder.metric_names[1:-1], self.recorder.log[1:]
        row = {name: float(value) for name, value in zip(names, values, strict=False)}
        row["images_per_second"] = self.images / self.train_seconds if self.train_seconds else math.nan
        row["seconds"] = time.monotonic() - self.epoch_started
        self.history.append({"epoch": len(self.history) + 1} | row)
        if not self.shown:
            return
        shown = " ".join(f"{name}={row[name]:.4f}" for name in names)
        print(
            f"epoch={len(self.history)} {shown} images_per_second={row['images_per_second']:.1f} "
            f"eta={duration(self._eta(0))}",
            flush=True,
        )


class FrozenStatistics(Callback):
    """Batch norm of a pretrained body keeps its statistics, in every epoch.

    The head is first trained on features normalized by them. Going over to each batch's own once the body is unfrozen
    changes all features at once: what the head has learnt is lost, and few epochs do not bring it back.
    """

    run_after = TrainEvalCallback

    def before_train(self) -> None:
        for module in unwrapped(self.model)[0].modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()


class StopAtNan(Callback):
    """Stop on a non-finite loss rather than export a useless model."""

    order = 55

    def after_batch(self) -> None:
        if self.training and not torch.isfinite(self.loss):
            raise FloatingPointError("the training loss is not finite: lower lr, or set precision=fp32")


def quiet(learner: Any) -> Any:
    """Remove fastai's own progress bar and table, which Progress stands in for."""
    learner.remove_cbs([callback for callback in learner.cbs if isinstance(callback, ProgressCallback)])
    for callback in learner.cbs:
        if isinstance(callback, Recorder):
            learner.logger = lambda _values: None
    return learner
