"""``make train``: a job on the user's pictures."""

from __future__ import annotations

from fastai_local import contract
from fastai_local.choose_runtime import choose_runtime
from fastai_local.process import say
from fastai_local.registry import command
from fastai_local.settings import Settings
from fastai_local.training import channels_of, train

DEFAULT_OUT = "train"


@command(
    "train",
    "DATA=folder",
    "trains on a folder of pictures",
    "OUT=build/train",
    'HP="epochs=2 arch=resnet34"',
    "VALIDATION=folder",
    "WEIGHTS=folder",
    "NETWORK=none",
)
def train_command(settings: Settings) -> int:
    """Train, and say where the model is."""
    channels_of(settings)  # a wrong DATA is an error before anything is set up
    out = settings.out or settings.build / DEFAULT_OUT
    train(settings, choose_runtime(settings), out)
    say(f"model: {out / contract.MODEL}")
    say(f"next: make serve MODEL={out / contract.MODEL}")
    return 0
