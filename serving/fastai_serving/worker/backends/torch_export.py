"""The backend for GPUs: the program that training wrote with ``torch.export``.

torch is imported when a backend is made, never before: the serving image for CPUs has none.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from fastai_container.errors import ModelFolderError
from fastai_container.model_folder import TORCH_MODEL

NOT_FOUND = f"{{}} has no {TORCH_MODEL}, the compiled model for GPUs; train it again, or serve it on CPUs"


class TorchExportBackend:
    """The compiled model in torch, on ``device`` ("cuda:0"; "cpu" too, where nothing is gained by it).

    On a GPU in half precision. The pictures' memory order is kept, so the network runs channels-last throughout.
    """

    def __init__(self, folder: Path, device: str, threads: int = 1, *, half: bool | None = None) -> None:
        import torch  # after the fork: CUDA does not survive one

        path = folder / TORCH_MODEL
        if not path.is_file():
            raise ModelFolderError(NOT_FOUND.format(folder))
        torch.set_num_threads(threads)
        self.torch = torch
        self.device = torch.device(device)
        self.half = self.device.type == "cuda" if half is None else half
        module = torch.export.load(path).module()
        self.module: Any = module.to(device=self.device, memory_format=torch.channels_last)
        self.dtype = torch.float16 if self.device.type == "cuda" else torch.bfloat16
        self.size: int | None = None

    def predict(self, pictures: np.ndarray) -> np.ndarray:
        torch = self.torch
        batch = torch.from_numpy(np.ascontiguousarray(pictures))
        if self.device.type == "cuda":
            batch = batch.pin_memory().to(self.device, non_blocking=True)
        with torch.inference_mode(), torch.autocast(self.device.type, dtype=self.dtype, enabled=self.half):
            return self.module(batch).float().cpu().numpy()

    def set_busy_workers(self, busy: int) -> None:
        """Change nothing: a GPU is its worker's own."""
