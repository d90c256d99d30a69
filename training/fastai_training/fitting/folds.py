"""The spread of the error: heads trained on all parts of the pictures but one, each asked for the part it did not see.

One split gives one error rate, and another seed's gives another. To train a network several times costs as many times;
the head alone, on features that the pretrained body computes once, costs seconds. So these are errors of the head on
the body as it came, before it is trained itself.
"""

from __future__ import annotations

import contextlib
import copy
import random
import statistics
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from fastai_training.data.labels import Example
from fastai_training.data.loaders import build_loaders
from fastai_training.data.split import assign_folds
from fastai_training.fitting.feature_replay import trained_part
from fastai_training.fitting.models import Classifier
from fastai_training.fitting.precision import choose_precision
from fastai_training.fitting.recipe import gathered
from fastai_training.hyperparameters import HyperParameters
from fastai_training.world import Processes

#: Steps of each head at least, and epochs.
STEPS, EPOCHS = 300, 4
_TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def fold_line(errors: list[float]) -> str:
    """The log's line."""
    facts = fold_facts(errors)
    return (
        f"folds={len(errors)} error_rate mean={facts['mean']:.4f} sd={facts['standard_deviation']:.4f} "
        f"(min {min(errors):.4f} max {max(errors):.4f}), the head on the pretrained body's features"
    )


def fold_facts(errors: list[float]) -> dict[str, Any]:
    """What summary.json says of the folds."""
    return {
        "error_rates": [round(error, 6) for error in errors],
        "mean": round(statistics.fmean(errors), 6),
        "standard_deviation": round(statistics.stdev(errors), 6),
    }


def fold_errors(
    classifier: Classifier,
    items: list[Example],
    vocab: list[str],
    parameters: HyperParameters,
    device: torch.device,
    workers: int,
    processes: Processes,
) -> list[float]:
    """The error rate on each of ``parameters.folds`` parts of ``items``, of a head trained on the others.

    Leaves the network and every generator as they were. The processes share the pictures and the parts. Raises
    DataError for fewer pictures, or groups, than parts.
    """
    place = torch.tensor(assign_folds(items, parameters.folds, parameters.seed))
    with _same_draws(device):
        uncached = replace(parameters, cache_mb=0)
        loaders = build_loaders(items, items, vocab, uncached, classifier.stats, device, workers, processes)
        precision = choose_precision(parameters.precision, device, frozen=True)
        features = gathered(_features(classifier.model, loaders.valid, device, precision), processes).to(device)
        targets = torch.tensor([vocab.index(item.label) for item in items], device=device)
        mine = {}
        for fold in range(processes.rank, parameters.folds, processes.world):
            torch.manual_seed(random.Random(f"{parameters.seed}:fold:{fold}").getrandbits(63))  # noqa: S311
            head = copy.deepcopy(trained_part(classifier.model[1])).float()
            held = (place == fold).to(device)
            _train(head, features[~held], targets[~held], parameters)
            with torch.no_grad():
                wrong = head.eval()(features[held]).argmax(1) != targets[held]
            mine[fold] = float(wrong.float().mean())
    found = {fold: error for part in processes.gather(mine) for fold, error in part.items()}
    return [found[fold] for fold in range(parameters.folds)]


@contextlib.contextmanager
def _same_draws(device: torch.device) -> Iterator[None]:
    """What is drawn inside changes nothing of what is drawn after."""
    states = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])


def _features(model: nn.Module, loader: Any, device: torch.device, precision: str) -> list[torch.Tensor]:
    """What the trained part of the head gets, batch by batch: float32 (n, features)."""
    body, head = model.eval().to(memory_format=torch.channels_last)
    pooling = head[: len(head) - len(trained_part(head))]
    parts = []
    with torch.no_grad(), torch.autocast(device.type, _TYPES.get(precision), enabled=precision in _TYPES):
        for batch, _ in loader:
            parts.append(pooling(body(batch)).float().cpu().as_subclass(torch.Tensor))
    return parts


def _train(head: nn.Module, features: torch.Tensor, targets: torch.Tensor, parameters: HyperParameters) -> None:
    """Train ``head`` by one 1-cycle schedule, at the default rate where it is to be found."""
    size = min(parameters.batch_size, len(features))
    steps = max(STEPS, EPOCHS * len(features) // size)
    rate = HyperParameters.lr if parameters.lr == "auto" else float(parameters.lr)
    optimizer = torch.optim.AdamW(head.parameters(), lr=rate, weight_decay=parameters.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps)
    head.train()
    for _ in range(steps):
        chosen = torch.randperm(len(features))[:size].to(features.device)
        loss = nn.functional.cross_entropy(head(features[chosen]), targets[chosen])
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
