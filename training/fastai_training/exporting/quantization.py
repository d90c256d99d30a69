"""The arithmetic of serving on CPUs: fp32, bf16 and int8 are measured, the fastest good one is taken."""

from __future__ import annotations

import contextlib
import io
import itertools
import logging
import random
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import openvino

from fastai_container.pictures import PictureError, model_input
from fastai_container.resources import cpu_count
from fastai_training.data.labels import Example

#: ``auto`` takes no precision whose error rate is more than this above that of fp32 (0.005 is half a percentage point).
TOLERANCE = 0.005
#: Nor one that gives another class than fp32 to more than one picture in a hundred: equally many errors can be others.
AGREEMENT = 0.99
#: Pictures that int8's ranges are measured on, and at most so many of the validation split to score precisions on.
CALIBRATION_PICTURES, SCORED_PICTURES = 128, 2000
#: Serving batches about so many; speed is that of one thread, which is what a serving worker has.
BATCH, ROUNDS = 8, 7
FP32, BF16, INT8 = "fp32", "bf16", "int8"


@dataclass(frozen=True)
class Score:
    """Of one precision. ``hint``: OpenVINO's INFERENCE_PRECISION_HINT that it was run with, f32 or bf16; ``agreement``:
    share of the pictures with fp32's class; ``milliseconds``: for a picture, on one thread."""

    precision: str
    hint: str
    error_rate: float
    agreement: float
    milliseconds: float


def has_bf16(core: openvino.Core) -> bool:
    """Whether OpenVINO computes bf16 in hardware on this CPU."""
    return "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def compile_model(core: openvino.Core, path: Path, hint: str, threads: int) -> Any:
    """The compiled model at ``path``, ready to run; ``hint`` is OpenVINO's INFERENCE_PRECISION_HINT."""
    return core.compile_model(
        str(path),
        "CPU",
        {
            # Without it a CPU with bf16 uses bf16 whatever the model says: what is scored must be what is served.
            "INFERENCE_PRECISION_HINT": hint,
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
            "ENABLE_CPU_PINNING": False,
        },
    )


def readable(items: Iterable[Example], size: int) -> Iterator[tuple[Path, np.ndarray]]:
    """Those of ``items`` that can be read, each with what the model is given for it: uint8 RGB (size, size, 3).

    Training pictures are not always looked at before (the hyperparameter check_pictures), and an epoch has not all.
    Raises PictureError when none can be read.
    """
    problem, count = None, 0
    for item in items:
        try:
            picture = model_input(item.path, size)
        except PictureError as error:
            problem = error
            continue
        count += 1
        yield item.path, picture
    if problem and not count:
        raise problem


def quantize(core: openvino.Core, fp32: Path, target: Path, inputs: list[np.ndarray]) -> None:
    """Write the int8 form of ``fp32`` to ``target``, its ranges measured on ``inputs``, each (1, size, size, 3)."""
    import nncf  # 2 s: only when it is needed

    nncf.set_log_level(logging.ERROR)
    with contextlib.redirect_stdout(io.StringIO()):  # progress bars
        result = nncf.quantize(
            core.read_model(str(fp32)),
            nncf.Dataset(inputs),
            subset_size=len(inputs),
            preset=nncf.QuantizationPreset.MIXED,
            # Layer after layer, each after quantized ones: 99.2 % of the pets got the class of fp32, not 96.9 %.
            fast_bias_correction=False,
        )
    openvino.save_model(result, str(target), compress_to_fp16=True)


def _milliseconds(models: dict[tuple[str, str], Any], batch: np.ndarray) -> dict[tuple[str, str], float]:
    """For a picture; the least of several rounds, taken in turn so that a noisy moment hits all alike."""
    best = dict.fromkeys(models, float("inf"))
    for _ in range(ROUNDS):
        for key, model in models.items():
            started = time.perf_counter()
            model([batch])
            best[key] = min(best[key], time.perf_counter() - started)
    return {key: seconds * 1000 / len(batch) for key, seconds in best.items()}


def _classes(models: dict[str, Any], items: list[Example], size: int) -> dict[str, np.ndarray]:
    """Class indices by each model, each picture decoded once."""
    found: dict[str, list[np.ndarray]] = {name: [] for name in models}
    for start in range(0, len(items), BATCH):
        batch = np.stack([model_input(item.path, size) for item in items[start : start + BATCH]])
        for name, model in models.items():
            found[name].append(model([batch])[0].argmax(1))
    return {name: np.concatenate(parts) for name, parts in found.items()}


def choose(scores: list[Score], asked: str) -> Score:
    """``asked``, or for auto the fastest that answers nearly as fp32 does (TOLERANCE, AGREEMENT)."""
    by_name = {score.precision: score for score in scores}
    if asked != "auto":
        return by_name[asked]
    limit = by_name[FP32].error_rate + TOLERANCE
    # Rounding must not decide: 0.125 + 0.005 is a hair less than 0.13 in binary.
    good = [score for score in scores if score.error_rate <= limit + 1e-9 and score.agreement >= AGREEMENT]
    return min(good, key=lambda score: score.milliseconds)


def measure(
    folder: Path,
    fp32: Path,
    train: list[Example],
    valid: list[Example],
    vocab: list[str],
    size: int,
    asked: str,
    say: Callable[[str], None] = print,
) -> tuple[Path, dict[str, Any]]:
    """The compiled model to serve, ``fp32`` or one of its other forms, and model.json's facts about it.

    ``folder`` takes the other forms. With ``asked`` a precision, only it and fp32 are measured.
    """
    core = openvino.Core()
    paths = {FP32: fp32, BF16: fp32}
    wanted = [FP32, *([BF16] if asked == BF16 or (asked == "auto" and has_bf16(core)) else [])]
    if asked in ("auto", INT8):
        sample = random.Random(0).sample(train, min(CALIBRATION_PICTURES, len(train)))  # noqa: S311
        paths[INT8] = folder / "int8.xml"
        quantize(core, fp32, paths[INT8], [picture[None] for _, picture in readable(sample, size)])
        wanted.append(INT8)
    step = max(1, -(-len(valid) // SCORED_PICTURES))
    scored = valid[::step]
    hints = {FP32: ["f32"], BF16: ["bf16"], INT8: ["f32", "bf16"] if has_bf16(core) else ["f32"]}
    single = {(name, hint): compile_model(core, paths[name], hint, 1) for name in wanted for hint in hints[name]}
    some = [picture for _, picture in itertools.islice(readable(train, size), BATCH)]
    batch = np.stack([some[index % len(some)] for index in range(BATCH)])
    speeds = _milliseconds(single, batch)
    # What int8 leaves in floating point may be faster in either.
    hint_of = {name: min(hints[name], key=lambda hint, name=name: speeds[name, hint]) for name in wanted}  # type: ignore[misc]
    classes = _classes(
        {name: compile_model(core, paths[name], hint_of[name], cpu_count()) for name in wanted}, scored, size
    )
    truth = np.array([vocab.index(item.label) for item in scored])
    scores = [
        Score(
            name,
            hint_of[name],
            round(float((classes[name] != truth).mean()), 6),
            round(float((classes[name] == classes[FP32]).mean()), 6),
            round(speeds[name, hint_of[name]], 3),
        )
        for name in wanted
    ]
    chosen = choose(scores, asked)
    for score in scores:
        mark = " (chosen)" if score is chosen else ""
        say(
            f"serving precision {score.precision}: {score.error_rate:.2%} wrong, {score.agreement:.1%} as fp32, "
            f"{score.milliseconds:.1f} ms a picture{mark}"
        )
    facts = {
        "precision": chosen.precision,
        "inference_precision_hint": chosen.hint,
        "asked": asked,
        "scored_pictures": len(scored),
        "scores": {score.precision: asdict(score) for score in scores},
    }
    return paths[chosen.precision], facts
