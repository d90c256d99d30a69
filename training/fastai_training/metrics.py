"""The metrics of a run as SageMaker reads them: names and the regular expressions that find them in the log.

``python -m fastai_training.metrics`` prints the list as JSON, ready for an estimator's ``metric_definitions``; with
``--objective`` what a tuning job optimizes.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

_NUMBER = r"([-+]?(?:\d+\.?\d*(?:[eE][-+]?\d+)?|nan|inf))"
#: Of the line that callbacks.Progress prints for each epoch.
EPOCH_METRICS = ("train_loss", "valid_loss", "error_rate", "balanced_accuracy", "f1_macro", "images_per_second")
#: Of the line that ends a run.
FINAL_METRICS = (
    "error_rate",
    "balanced_accuracy",
    "f1_macro",
    "tta_error_rate",
    "valid_loss",
    "training_seconds",
    "serving_error_rate",
    "serving_milliseconds",
    "test_error_rate",
)
FINAL = "final"
OBJECTIVE = "error_rate"


def definitions() -> list[dict[str, str]]:
    """Return ``[{"Name": …, "Regex": …}, …]``; an epoch's values under their names, the last ones as ``final_…``."""
    epoch = [{"Name": name, "Regex": rf"\bepoch=\d+ .*?\b{name}={_NUMBER}"} for name in EPOCH_METRICS]
    final = [{"Name": f"{FINAL}_{name}", "Regex": rf"\b{FINAL} .*?\b{name}={_NUMBER}"} for name in FINAL_METRICS]
    return epoch + final


def objective() -> dict[str, Any]:
    """Return what a HyperparameterTuner optimizes: the error rate that each epoch's line has.

    SageMaker takes the last value as the job's result. Early stopping and Hyperband need those before it, to end a job
    that falls behind: a metric that is there at the end alone gives them nothing to go by.
    """
    found = next(definition for definition in definitions() if definition["Name"] == OBJECTIVE)
    return {"objective_metric_name": OBJECTIVE, "objective_type": "Minimize", "metric_definitions": [found]}


def final_line(values: Mapping[str, float]) -> str:
    """Write the line that ends a run; ``values`` may lack some of FINAL_METRICS."""
    shown = " ".join(f"{name}={values[name]:.4f}" for name in FINAL_METRICS if name in values)
    return f"{FINAL} {shown}"


if __name__ == "__main__":
    if sys.argv[1:] not in ([], ["--objective"]):
        sys.exit("usage: python -m fastai_training.metrics [--objective]")
    print(json.dumps(objective() if sys.argv[1:] else definitions(), indent=2))
