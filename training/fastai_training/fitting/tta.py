"""Test-time augmentation, as a measurement: the error rate of answers that are the mean of several views."""

from __future__ import annotations

from typing import Any

import torch

from fastai_training.console import Log
from fastai_training.fitting.recipe import validate
from fastai_training.world import Processes


def tta_metrics(
    learner: Any, processes: Processes, plain: torch.Tensor, targets: torch.Tensor, views: int, say: Log
) -> dict[str, float]:
    """``tta_error_rate``: of the mean of ``plain``, each picture's centre, and ``views`` random crops, mirrored or not.

    Nothing for no views. The learner's third loader gives them, the same ones whenever and by whomever it is asked.
    ``plain``: probabilities (n, classes), ``targets``: classes (n,).
    """
    if not views:
        return {}
    loader = learner.dls[2]
    total = plain.clone()
    for view in range(views):
        loader.epoch = view
        total += validate(learner, processes, loader)
    before, after = (float((scores.argmax(1) != targets).float().mean()) for scores in (plain, total))
    say(
        f"tta={views}: error rate {after:.4f} by the mean of the centre and {views} random views of each picture, "
        f"{before:.4f} by the centre alone, as serving answers: it doesn't use tta"
    )
    return {"tta_error_rate": after}
