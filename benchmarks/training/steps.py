"""Rates of our own training steps: with our loader, and with one batch again and again, which no loader limits.

``python -m benchmarks.training.steps job.json`` writes pictures a second of both to ``out``.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from fastai.callback.core import Callback
from fastai.data.core import DataLoaders
from fastai.vision.all import set_seed

from fastai_container.resources import cpu_count
from fastai_training.data.labels import Example
from fastai_training.data.loaders import OrderedLoader, build_loaders, worker_count
from fastai_training.fitting.callbacks import CpuBFloat16
from fastai_training.fitting.models import build_classifier
from fastai_training.fitting.precision import choose_precision
from fastai_training.fitting.recipe import build_learner, training_callbacks
from fastai_training.hyperparameters import HyperParameters


class Synthetic:
    """In place of a loader: its first batch, as it reaches the model, as often as the loader has batches."""

    def __init__(self, loader: OrderedLoader) -> None:
        self.loader = loader
        loader.epoch = 0
        self.batch = next(iter(loader))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loader, name)

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Any]:
        for _ in range(len(self)):
            yield self.batch


class Epochs(Callback):
    """What the program's Checkpointer does for the loader, and pictures a second for each epoch of training."""

    order = 90

    def __init__(self) -> None:
        self.rates: list[float] = []

    def before_train(self) -> None:
        self.dls.train.epoch = len(self.rates)
        self.images, self.began = 0, time.monotonic()

    def after_batch(self) -> None:
        if self.training:
            self.images += len(self.yb[0])

    def after_train(self) -> None:
        if self.dls.device.type == "cuda":
            torch.cuda.synchronize()
        self.rates.append(self.images / (time.monotonic() - self.began))


def measure(train: list[Example], parameters: HyperParameters, device: torch.device, epochs: int) -> dict[str, Any]:
    """Pictures a second of ``epochs`` epochs each, after one that is not counted: it decodes and compiles."""
    set_seed(parameters.seed)
    if device.type == "cpu":
        torch.set_num_threads(cpu_count())
    vocab = sorted({item.label for item in train})
    classifier = build_classifier(parameters.arch, len(vocab), pretrained=parameters.pretrained, weights_channel=None)
    workers, _ = worker_count(parameters)
    # Two pictures to validate on: fastai's loop wants some.
    loaders = build_loaders(train, train[:2], vocab, parameters, classifier.stats, device, workers)
    learner = build_learner(loaders, classifier, parameters, device)
    precision = choose_precision(parameters.precision, device)
    counted = Epochs()
    learner.add_cbs([*training_callbacks(precision, device, parameters.pretrained), counted])
    if device.type == "cpu" and precision == "bf16":
        learner.add_cb(CpuBFloat16())
    learner.unfreeze()
    real, synthetic = loaders, DataLoaders(Synthetic(loaders.train), loaders.valid, device=device)
    rates: dict[str, list[float]] = {"real": [], "synthetic": []}
    for turn in range(epochs + 1):
        for name, source in (("real", real), ("synthetic", synthetic)):
            learner.dls = source
            # So low a rate that it makes no difference how often: only the time counts.
            learner.fit(1, 1e-6)
            if turn:
                rates[name].append(counted.rates[-1])
    return {"precision": precision, "workers": workers} | rates


def main(path: Path) -> None:
    job = json.loads(path.read_text(encoding="utf-8"))
    items = [Example(Path(name), label) for name, label in job["train"]]
    device = torch.device(job["device"])
    result = measure(items, HyperParameters(**job["parameters"]), device, job["epochs"])
    Path(job["out"]).write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
