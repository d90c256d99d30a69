"""What every baseline does with a request, whatever serves it: the same network, weights and answer.

``BASELINE_VARIANT=torch`` is the usual set-up (Pillow, torchvision's network, eager fp32, one thread for each worker);
``bf16`` and ``int8`` are this project's runtime and its way to read a picture, under that baseline's server.
"""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from fastai_container.model_folder import read_manifest

MODELS = Path(os.environ["BASELINE_MODELS"])
VARIANT = os.environ.get("BASELINE_VARIANT", "torch")


def answer(row: Any, vocab: list[str]) -> dict[str, Any]:
    """The JSON of a row of probabilities."""
    order = np.argsort(row)[::-1]
    predictions = [{"class": vocab[index], "confidence": round(float(row[index]), 6)} for index in order]
    return {**predictions[0], "predictions": predictions}


def _network(folder: Path, classes: int) -> Any:
    """fastai's ResNet-34 classifier without fastai."""
    import torch
    from safetensors.torch import load_file
    from torch import nn
    from torchvision.models import resnet34

    class ConcatPool(nn.Module):
        def forward(self, features: Any) -> Any:
            return torch.cat([features.amax((2, 3)), features.mean((2, 3))], 1)

    body = nn.Sequential(*list(resnet34().children())[:-2])
    norm, hidden, last = nn.BatchNorm1d(1024), nn.Linear(1024, 512, bias=False), nn.Linear(512, classes, bias=False)
    drop = nn.Dropout()
    head = nn.Sequential(
        ConcatPool(), nn.Flatten(), norm, drop, hidden, nn.ReLU(), nn.BatchNorm1d(512), nn.Dropout(), last
    )
    network = nn.Sequential(body, head)
    network.load_state_dict(load_file(folder / "model.safetensors"))
    return network.eval()


class EagerPredictor:
    """``make``: the network of a model folder, for that many classes."""

    def __init__(self, make: Callable[[Path, int], Any] = _network) -> None:
        import torch

        # What multi-model-server's OMP_NUM_THREADS=1 gives stock's workers; more would only compete for the cores.
        torch.set_num_threads(1)
        self.torch = torch
        folder = MODELS / "bf16"  # the weights are fp32 in either folder
        self.model = read_manifest(folder)
        self.network = make(folder, len(self.model.vocab))
        self.mean, self.std = (torch.tensor(values).view(3, 1, 1) for values in (self.model.mean, self.model.std))

    def read(self, body: bytes) -> Any:
        """A normalised tensor (3, size, size) of a picture."""
        from PIL import Image

        image = Image.open(io.BytesIO(body)).convert("RGB")
        side, size = min(image.size), self.model.image_size
        left, top = (image.width - side) // 2, (image.height - side) // 2
        box = (left, top, left + side, top + side)
        pixels = np.array(image.resize((size, size), Image.Resampling.BILINEAR, box=box))
        return (self.torch.from_numpy(pixels).permute(2, 0, 1).float() / 255 - self.mean) / self.std

    def predict(self, pictures: list[Any]) -> list[dict[str, Any]]:
        with self.torch.inference_mode():
            rows = self.network(self.torch.stack(pictures)).softmax(1).numpy()
        return [answer(row, self.model.vocab) for row in rows]


class ProgramPredictor:
    def __init__(self, precision: str) -> None:
        from fastai_serving.worker.backends import load_backend

        folder = MODELS / precision
        self.model = read_manifest(folder)
        self.backend = load_backend(folder, self.model, 1, None)
        # a request object is one thread's at a time, and uvicorn's baseline has a pool of threads
        self.lock = threading.Lock()

    def read(self, body: bytes) -> Any:
        """Pixels (size, size, 3) of a picture."""
        from fastai_container.pictures import model_input

        return model_input(body, self.model.image_size)

    def predict(self, pictures: list[Any]) -> list[dict[str, Any]]:
        with self.lock:
            rows = self.backend.predict(np.stack(pictures))
        return [answer(row, self.model.vocab) for row in rows]


def load(make: Callable[[Path, int], Any] = _network) -> EagerPredictor | ProgramPredictor:
    return EagerPredictor(make) if VARIANT == "torch" else ProgramPredictor(VARIANT)
