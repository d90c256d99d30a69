"""Where the time of one training step goes, with the C library's usual allocator and with ours.

``python -m benchmarks.training.breakdown usual|kept`` prints one measurement as JSON; ``main`` runs them all.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.common import QUICK, ROOT, describe, machine, pets_folder, table, write
from benchmarks.training.programs import run

#: After one that is not counted.
BATCHES = 2 if QUICK else 4
PARTS = ("wait for the loader", "forward", "loss", "backward", "optimiser", "the head's extra steps")
#: (what is trained, arithmetic)
PHASES = (("head", "bf16"), ("whole network", "fp32"), ("whole network", "bf16"))
ALLOCATORS = {"usual": "as glibc is", "kept": "freed memory is kept"}


def measure(allocator: str) -> list[dict[str, Any]]:
    """Milliseconds of each part of a step on 64 pictures, a row for each of PHASES."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from fastai_training.fitting.malloc import keep_freed_memory

    if allocator == "kept":
        keep_freed_memory()
    import torch
    from fastai.callback.core import Callback

    from benchmarks.training.job import BATCH_SIZE, SEED, SIZE, split
    from fastai_container.resources import cpu_count
    from fastai_training.data.loaders import build_loaders, worker_count
    from fastai_training.fitting.callbacks import CpuBFloat16
    from fastai_training.fitting.feature_replay import HeadReplay
    from fastai_training.fitting.models import build_classifier
    from fastai_training.fitting.recipe import build_learner, training_callbacks
    from fastai_training.hyperparameters import HyperParameters

    class Parts(Callback):
        """Seconds between fastai's events, each batch's own."""

        order = 95

        def before_train(self) -> None:
            self.dls.train.epoch = 0
            self.rows: list[dict[str, float]] = []
            self.faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            self._begin()

        def _begin(self) -> None:
            self.row: dict[str, float] = defaultdict(float)
            self.last = time.perf_counter()

        def _mark(self, part: str) -> None:
            now = time.perf_counter()
            self.row[part] += now - self.last
            self.last = now

        def before_batch(self) -> None:
            self._mark("wait for the loader")

        def after_pred(self) -> None:
            self._mark("forward")

        def after_loss(self) -> None:
            self._mark("loss")

        def before_step(self) -> None:
            self._mark("backward")

        def after_step(self) -> None:
            self._mark("optimiser")

        def after_batch(self) -> None:
            if self.training:
                self._mark("the head's extra steps")
                self.rows.append(self.row)
                self._begin()

        def after_train(self) -> None:
            self.faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - self.faults

    cpu = torch.device("cpu")
    torch.set_num_threads(cpu_count())
    train, valid = split(pets_folder().resolve())
    vocab = sorted({item.label for item in train})
    parameters = HyperParameters(arch="efficientnet_lite0", image_size=SIZE, batch_size=BATCH_SIZE, seed=SEED)
    classifier = build_classifier(parameters.arch, len(vocab), pretrained=True, weights_channel=None)
    train = train[: BATCH_SIZE * (1 + BATCHES)]
    workers, _ = worker_count(parameters)
    loaders = build_loaders(train, valid[:2], vocab, parameters, classifier.stats, cpu, workers)
    learner = build_learner(loaders, classifier, parameters, cpu)
    parts = Parts()
    learner.add_cbs([*training_callbacks("fp32", cpu, pretrained=True), parts])
    found = []
    for trained, precision in PHASES:
        learner.remove_cbs([CpuBFloat16, HeadReplay])
        if precision == "bf16":
            learner.add_cb(CpuBFloat16())
        if trained == "head":
            learner.freeze()
            learner.add_cb(HeadReplay())
        else:
            learner.unfreeze()
        with learner.no_bar(), learner.no_logging():
            learner.fit(1, 1e-6)
        counted = parts.rows[1:]
        found.append(
            {
                "trained": trained,
                "precision": precision,
                "milliseconds": {part: 1000 * statistics.mean(row[part] for row in counted) for part in PARTS},
                "page_faults": parts.faults // len(parts.rows),
            }
        )
    return found


def rows_of(found: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[list[str]]:
    """A row for each allocator and phase: milliseconds by part, their sum, page faults."""
    rows = []
    for number, (trained, precision) in enumerate(PHASES):
        for allocator, name in ALLOCATORS.items():
            measured = found[allocator][number]
            parts = [measured["milliseconds"][part] for part in PARTS]
            shown = [f"{part:,.0f}" for part in parts]
            rows.append(
                [f"{trained}, {precision}, {name}", *shown, f"{sum(parts):,.0f}", f"{measured['page_faults']:,}"]
            )
    return rows


def main() -> int:
    found = {}
    for allocator in ALLOCATORS:
        done = run(["-m", "benchmarks.training.breakdown", allocator], ROOT)
        found[allocator] = json.loads(done.log[-1][1])
    facts = {"machine": machine(), "steps": found}
    text = (
        f"Milliseconds of a step on 64 pictures (EfficientNet-Lite0), the mean of {BATCHES} steps; one "
        "round, so compare rows and not with other days."
    )
    header = ["trained, arithmetic, allocator", *PARTS, "all", "page faults"]
    write(
        "training-step",
        facts,
        "\n\n".join(["# One training step", text, table(header, rows_of(found)), describe(facts["machine"])]),
    )
    return 0


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1])))
