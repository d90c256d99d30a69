"""The phases of a run: the head alone first, then the whole network, each by one 1-cycle schedule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from fastai_training.fitting.callbacks import CpuBFloat16
from fastai_training.fitting.feature_replay import HeadReplay
from fastai_training.fitting.precision import choose_precision
from fastai_training.fitting.resumable_loop import Checkpointer, restore_optimizer
from fastai_training.hyperparameters import HyperParameters


@dataclass(frozen=True)
class Phase:
    """``epochs`` epochs by one 1-cycle schedule, of the head alone when ``frozen``."""

    epochs: int
    frozen: bool
    rates: Any
    precision: str
    options: dict[str, float]


def plan_phases(parameters: HyperParameters, rate: float, device: torch.device) -> list[Phase]:
    """Plan lesson 1's recipe, fastai's fine_tune: the head alone first, then everything."""
    precision = choose_precision(parameters.precision, device)
    if not parameters.pretrained:
        return [Phase(parameters.epochs, False, rate, precision, {})]
    # A hundredth of the rate for the first layers.
    whole = Phase(parameters.epochs, False, slice(rate / 200, rate / 2), precision, {"pct_start": 0.3, "div": 5.0})
    alone = choose_precision(parameters.precision, device, frozen=True)
    head = Phase(parameters.freeze_epochs, True, slice(rate), alone, {"pct_start": 0.99})
    return [phase for phase in (head, whole) if phase.epochs]


def run_phases(
    learner: Any,
    phases: list[Phase],
    checkpointer: Checkpointer,
    resumed: dict[str, Any] | None,
    device: torch.device,
    replay: HeadReplay | None,
    whole_network: Sequence[Any] = (),
) -> None:
    """Train all phases, or those that ``resumed`` has not done.

    ``replay`` is for a single process (others would have to share each of its steps), and used on a CPU: a GPU runs
    the body's forward pass in the time that a few small steps take to be launched. ``whole_network``: callbacks of
    the phase that trains it.
    """
    epochs_before = 0
    first = resumed["position"]["phase"] if resumed else 0
    for number, phase in enumerate(phases):
        if number >= first:
            here = resumed if number == first else None
            _set_up(learner, phase, here, device, replay)
            if not phase.frozen:
                learner.add_cbs(whole_network)
            checkpointer.begin(number, epochs_before, here)
            if learner.first_epoch < phase.epochs:
                learner.fit_one_cycle(phase.epochs, phase.rates, **phase.options)
        epochs_before += phase.epochs


def _set_up(
    learner: Any, phase: Phase, resumed: dict[str, Any] | None, device: torch.device, replay: HeadReplay | None
) -> None:
    """Freeze or unfreeze the body, and give the learner the callbacks of this phase alone."""
    if phase.frozen:
        learner.freeze()
    else:
        learner.unfreeze()
    if resumed is not None:
        restore_optimizer(learner.opt, resumed["optimizer"], device)
    learner.remove_cbs(CpuBFloat16)
    if device.type == "cpu" and phase.precision == "bf16":
        learner.add_cb(CpuBFloat16())
    learner.remove_cbs(HeadReplay)
    if replay is None:
        return
    replay.clear()
    if phase.frozen and device.type == "cpu":
        learner.add_cb(replay)
        if resumed is not None:
            replay.restore(resumed["replay"])
