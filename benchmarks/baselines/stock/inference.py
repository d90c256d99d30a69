"""The script that a user of AWS's containers would write: a fastai learner, eager fp32, Pillow.

It asks the learner's network itself; ``learner.predict`` would take several times as long.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.baselines import predictor


def _network(folder: Path, _classes: int) -> Any:
    from fastai.learner import load_learner

    return load_learner(folder / "export.pkl").model.eval()


def model_fn(_folder: str) -> Any:
    return predictor.load(_network)


def input_fn(body: Any, _content_type: str) -> Any:
    return bytes(body)


def predict_fn(body: bytes, model: Any) -> Any:
    return model.predict([model.read(body)])[0]


def output_fn(prediction: Any, _accept: str) -> str:
    return json.dumps(prediction)
