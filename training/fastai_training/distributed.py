"""DDP in fastai's loop.

fastai's own DistributedTrainer needs another package and moves indices through CUDA; on CPUs gloo is used here.
"""

from __future__ import annotations

from typing import Any

import torch
from fastai.callback.core import Callback
from torch import distributed, nn


def unwrapped(model: nn.Module) -> nn.Module:
    """``model`` without DDP around it."""
    return model.module if isinstance(model, nn.parallel.DistributedDataParallel) else model


class DataParallel(Callback):
    """DDP around the model while it is fitted, and validation metrics over all processes."""

    order = 11  # once the model is on its device and in its memory format

    def __init__(self, device: torch.device, group: Any) -> None:
        self.devices = [device.index] if device.type == "cuda" else None
        self.group = group

    def before_fit(self) -> None:
        self.learn.model = nn.parallel.DistributedDataParallel(
            self.learn.model, device_ids=self.devices, process_group=self.group
        )

    def after_validate(self) -> None:
        for metric in (self.recorder.loss, *self.recorder.metrics):
            sums = torch.tensor([float(metric.total), float(metric.count)], dtype=torch.float64)
            distributed.all_reduce(sums)
            metric.total, metric.count = sums[0], int(sums[1])

    def after_fit(self) -> None:
        self.learn.model = unwrapped(self.learn.model)
