"""More steps for the head while the body is frozen, on features that the body has computed already."""

from __future__ import annotations

from typing import Any

import torch
from fastai.callback.core import Callback
from torch import nn

#: Steps after each batch, at most. Validation error on the pets after one epoch (three splits): 38 % with 0 steps, 16 %
#: with 4, 12 % with 8.
STEPS = 8
#: Features of so many pictures are kept, the newest; checkpoints hold them too (5 KB each for EfficientNet-Lite0).
KEPT = 4096


def trained_part(head: nn.Sequential) -> nn.Sequential:
    """``head`` without the pooling it begins with: what comes in there is small, and the same for the same picture."""
    first = next(
        number
        for number, layer in enumerate(head)
        if isinstance(layer, nn.Dropout) or any(True for _ in layer.parameters())
    )
    return head[first:]


class HeadReplay(Callback):
    """After each batch, up to ``STEPS`` steps of the head on random batches of the pictures seen so far.

    A frozen body gives a view the same features whenever it is asked, and the head costs little beside it: one epoch
    then trains the head as several would. What is drawn follows from the batch's seed, so with ``state`` a run that
    was stopped goes on as if it was not.
    """

    order = 52  # after the batch's own step, before the loss is checked, progress is told and a checkpoint is written

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.features, self.targets = torch.empty(0), torch.empty(0, dtype=torch.long)

    def state(self) -> dict[str, torch.Tensor]:
        """For a checkpoint; ``restore`` takes it."""
        return {"features": self.features.clone(), "targets": self.targets.clone()}

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        self.features, self.targets = state["features"], state["targets"]

    def before_fit(self) -> None:
        self.head = trained_part(self.learn.model[1])
        self.hook = self.head[0].register_forward_pre_hook(self._see)

    def _see(self, _layer: nn.Module, inputs: tuple[Any, ...]) -> None:
        if self.training:
            self.seen = inputs[0].detach().as_subclass(torch.Tensor)

    def after_batch(self) -> None:
        if not self.training:
            return
        targets = self.learn.y.as_subclass(torch.Tensor)
        # An empty tensor would make them all float32.
        kept = [self.features] if len(self.features) else []
        self.features = torch.cat([*kept, self.seen])[-KEPT:]
        self.targets = torch.cat([self.targets, targets])[-KEPT:]
        self.hook.remove()  # replayed features are not new ones
        for _ in range(min(STEPS, len(self.features) // len(targets))):
            chosen = torch.randperm(len(self.features))[: len(targets)]
            loss = self.learn.loss_func(self.head(self.features[chosen].float()), self.targets[chosen])
            loss.backward()
            self.opt.step()
            self.opt.zero_grad()
        self.hook = self.head[0].register_forward_pre_hook(self._see)

    def after_fit(self) -> None:
        self.hook.remove()
