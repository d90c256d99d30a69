"""The tables of a run: what was left out, each epoch, each validation or test picture, and a summary."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from fastai_training.console import Log
from fastai_training.data.labels import Example, relative_name
from fastai_training.diagnosis.disk_space import keep
from fastai_training.quoting import csv_text


def write_csv(path: Path, header: Sequence[object], rows: Iterable[Sequence[object]], log: Log) -> bool:
    """Write a table that the job can do without; returns whether it is written. Names need not be UTF-8."""
    return keep(path, csv_text(header, rows), log)


def write_skipped(folder: Path, skipped: Sequence[tuple[str, str, str]], log: Log) -> None:
    """List what was left out, before training: the list is there even if training fails."""
    write_csv(folder / "skipped.csv", ("channel", "file", "reason"), skipped, log)


def columns(history: list[dict[str, float]]) -> list[str]:
    """The values that any epoch has; the first ones may come from a checkpoint of a version that told fewer."""
    return list(dict.fromkeys(name for row in reversed(history) for name in row))


def write_history(folder: Path, history: list[dict[str, float]], log: Log) -> None:
    """Write history.csv, a row for each epoch."""
    if history:
        header = columns(history)
        write_csv(folder / "history.csv", header, ([row.get(name) for name in header] for row in history), log)


def write_predictions(
    folder: Path,
    root: Path,
    items: Sequence[Example],
    probabilities: Any,
    vocab: list[str],
    log: Log,
    name: str = "validation.csv",
) -> None:
    """Write ``name``: the prediction for each of ``items``, by its path below ``root``, or its name elsewhere."""
    rows = (
        (relative_name(item.path, root), item.label, vocab[row.argmax()], f"{row.max():.4f}")
        for item, row in zip(items, probabilities, strict=True)
    )
    write_csv(folder / name, ("file", "label", "predicted", "confidence"), rows, log)


def write_summary(folder: Path, summary: dict[str, Any], log: Log, name: str = "summary.json") -> None:
    """Write summary.json, or what else of the run is JSON."""
    keep(folder / name, json.dumps(summary, indent=2, ensure_ascii=False) + "\n", log)
