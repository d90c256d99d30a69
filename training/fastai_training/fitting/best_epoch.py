"""The epoch that validated best: kept for the export, or waited for in vain until training is stopped."""

from __future__ import annotations

import math
from typing import Any

from fastai.callback.core import Callback, CancelFitException
from torch import Tensor

from fastai_training.console import Log
from fastai_training.fitting.callbacks import Progress
from fastai_training.fitting.ddp import unwrapped
from fastai_training.hyperparameters import HyperParameters
from fastai_training.world import Processes


class BestEpoch(Callback):
    """Keeps the weights of the epoch with the lowest error rate; of epochs with the same one, with the lowest loss.

    With ``state`` in the checkpoint a run that was stopped keeps the same ones.
    """

    order = 65  # after Progress has the epoch's row, before the checkpoint is written

    def __init__(self, progress: Progress, processes: Processes) -> None:
        self.progress, self.processes = progress, processes
        self.row: dict[str, float] = {}
        self.weights: dict[str, Tensor] = {}

    def state(self) -> dict[str, Any]:
        """For a checkpoint; ``restore`` takes it."""
        return {"row": self.row, "weights": self.weights}

    def restore(self, state: dict[str, Any]) -> None:
        self.row, self.weights = state["row"], state["weights"]

    def after_epoch(self) -> None:
        row = self.progress.history[-1]
        # One decides for all: a difference in a loss's last bit must not make them keep different epochs.
        if self.processes.from_main(not self.row or _rank(row) < _rank(self.row)):
            self.row = row
            model = unwrapped(self.learn.model)
            self.weights = {name: value.detach().to("cpu", copy=True) for name, value in model.state_dict().items()}

    def export(self, model: Any, say: Log) -> None:
        """Give ``model`` the weights that are kept.

        The line of the log has the form of an epoch's: what SageMaker takes as the job's last values is then what the
        exported model has.
        """
        names = ("train_loss", "valid_loss", "error_rate", "balanced_accuracy", "f1_macro")
        values = " ".join(f"{name}={self.row[name]:.4f}" for name in names)
        say(f"keeping epoch={int(self.row['epoch'])} of {len(self.progress.history)}, the best: {values}")
        model.load_state_dict(self.weights)


def _rank(row: dict[str, float]) -> tuple[float, float]:
    return row["error_rate"], math.inf if math.isnan(row["valid_loss"]) else row["valid_loss"]


class EarlyStopping(Callback):
    """Ends a phase after ``patience`` epochs of it in a row whose error rate is not below the lowest of it.

    For the phase that trains the whole network, the last one.
    """

    order = 65  # as BestEpoch

    def __init__(self, patience: int, progress: Progress, processes: Processes, say: Log) -> None:
        self.patience, self.progress, self.processes, self.say = patience, progress, processes, say
        self.lowest, self.epoch, self.waited = math.inf, 0, 0

    def state(self) -> dict[str, Any]:
        """For a checkpoint; ``restore`` takes it."""
        return {"lowest": self.lowest, "epoch": self.epoch, "waited": self.waited}

    def restore(self, state: dict[str, Any]) -> None:
        self.lowest, self.epoch, self.waited = state["lowest"], state["epoch"], state["waited"]

    def after_epoch(self) -> None:
        error = self.progress.history[-1]["error_rate"]
        if self.processes.from_main(error < self.lowest):
            self.lowest, self.epoch, self.waited = error, len(self.progress.history), 0
        else:
            self.waited += 1

    def before_epoch(self) -> None:
        """Here, and not after the epoch before: its checkpoint is written then, also for a run that goes on from it."""
        if self.waited < self.patience:
            return
        self.say(
            f"stopping early: no error rate below {self.lowest:.4f}, that of epoch {self.epoch}, for {self.waited} "
            f"epochs; {self.progress.epochs - len(self.progress.history)} epochs of the schedule are not trained"
        )
        raise CancelFitException


def stopping_told(parameters: HyperParameters) -> str:
    """The line of the log that warns of an ``early_stopping`` that may disappoint; empty where there is no need."""
    patience = parameters.early_stopping
    if not patience:
        return ""
    if patience > parameters.epochs - 2:
        return f"early_stopping={patience} can't stop {parameters.epochs} epochs of the whole network any earlier"
    if parameters.keep == "best":
        return ""
    return (
        f"early_stopping={patience} with keep=last: a run that is stopped exports its last epoch, {patience} after its "
        "best one; keep=best exports that"
    )
