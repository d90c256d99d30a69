"""Training pictures mixed with each other, by fastai's MixUp or CutMix; what is drawn depends on its place alone."""

from __future__ import annotations

from typing import Any

from fastai.callback.core import Callback
from fastai.callback.mixup import CutMix, MixUp

from fastai_training.hyperparameters import HyperParameters
from fastai_training.seeding import seed_everything
from fastai_training.world import Processes


class _Seeded:
    """Seeds what fastai's callback draws for a batch; its order is before Checkpointer's, which seeds the dropout."""

    stack_y = False  # fastai looks at it when a fit is cancelled, also before the first epoch

    def __init__(self, alpha: float, seed: int, rank: int) -> None:
        super().__init__(alpha)  # type: ignore[call-arg]  # fastai's class beside it
        self.seed, self.rank = seed, rank

    def before_batch(self) -> None:
        place: Any = self
        seed_everything("mix", self.seed, place.dls.train.epoch, place.iter, self.rank)
        super().before_batch()  # type: ignore[misc]


class SeededMixUp(_Seeded, MixUp):
    """A picture is blended with another one of its batch, and so are their labels."""


class SeededCutMix(_Seeded, CutMix):
    """A rectangle of a picture is another one's of its batch; labels count by area."""


def mixing_callback(parameters: HyperParameters, processes: Processes) -> Callback | None:
    """The callback that mixes as ``parameters`` say, for the training of the whole network; None without mixing."""
    if parameters.mixup:
        return SeededMixUp(parameters.mixup, parameters.seed, processes.rank)
    if parameters.cutmix:
        return SeededCutMix(parameters.cutmix, parameters.seed, processes.rank)
    return None


def mixing_told(parameters: HyperParameters) -> str:
    """The line of the log that says in which epochs pictures are mixed; empty without mixing.

    While the body is frozen they are not: its features are kept and trained on again (feature_replay), and those of
    a mixed picture belong to no label.
    """
    if not (parameters.mixup or parameters.cutmix):
        return ""
    what = f"mixup={parameters.mixup:g}" if parameters.mixup else f"cutmix={parameters.cutmix:g}"
    text = f"{what}: pictures are mixed in the {parameters.epochs} epochs that train the whole network"
    if parameters.pretrained and parameters.freeze_epochs:
        text += f", not in the {parameters.freeze_epochs} that train the head alone"
    return text
