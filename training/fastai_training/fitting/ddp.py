"""DDP in fastai's loop.

fastai's own DistributedTrainer needs another package and moves indices through CUDA; on CPUs gloo is used here.
"""

from __future__ import annotations

import hashlib
from typing import Any

import torch
from fastai.callback.core import Callback
from torch import distributed, nn

from fastai_training.fitting.class_metrics import ClassMetric


def unwrapped(model: nn.Module) -> nn.Module:
    """``model`` without DDP around it."""
    return model.module if isinstance(model, nn.parallel.DistributedDataParallel) else model


def weights_digest(model: nn.Module) -> str:
    """SHA-256 of all parameters and buffers."""
    digest = hashlib.sha256()
    for name, value in unwrapped(model).state_dict().items():
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


class DataParallel(Callback):
    """DDP around the model while it is fitted, and validation metrics over all processes."""

    order = 11  # once the model is on its device and in its memory format

    def __init__(self, device: torch.device, group: Any) -> None:
        self.devices = [device.index] if device.type == "cuda" else None
        self.group = group

    def before_fit(self) -> None:
        self.learn.model = nn.parallel.DistributedDataParallel(
            self.learn.model,
            device_ids=self.devices,
            process_group=self.group,
            # Once an epoch is enough (after_train); for each batch it would also run in validation, whose shards differ
            # in length: the processes would wait for each other for ever.
            broadcast_buffers=False,
            # Bodies of timm may hold layers for their own head, which a body's forward leaves out.
            find_unused_parameters=True,
        )

    def after_train(self) -> None:
        for buffer in unwrapped(self.learn.model).buffers():
            distributed.broadcast(buffer, 0)

    def after_validate(self) -> None:
        for metric in (self.recorder.loss, *self.recorder.metrics):
            if isinstance(metric, ClassMetric):
                distributed.all_reduce(metric.tallies)
                continue
            sums = torch.tensor([float(metric.total), float(metric.count)], dtype=torch.float64)
            distributed.all_reduce(sums)
            metric.total, metric.count = sums[0], int(sums[1])

    def after_fit(self) -> None:
        self.learn.model = unwrapped(self.learn.model)
