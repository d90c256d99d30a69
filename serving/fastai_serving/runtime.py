"""Run a model folder's program: on the CPU with OpenVINO, on a GPU with torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np

from fastai_container.errors import ModelFolderError
from fastai_container.model_folder import PROGRAM, TORCH_PROGRAM, Model


class Runtime(Protocol):
    def predict(self, pictures: np.ndarray) -> np.ndarray:
        """Probabilities float32 (n, classes) of uint8 RGB pictures (n, size, size, 3)."""


class CpuRuntime:
    """The program compiled by OpenVINO, for one worker with ``threads`` threads; ``precision`` is f32 or bf16."""

    def __init__(self, folder: Path, threads: int, precision: str = "f32") -> None:
        # A worker on a GPU has no OpenVINO to import.
        import openvino
        from openvino import properties
        from openvino.properties import hint

        core = openvino.Core()
        self.compiled: Any = core.compile_model(
            str(folder / PROGRAM),
            "CPU",
            {
                hint.performance_mode: hint.PerformanceMode.LATENCY,
                properties.inference_num_threads: threads,
                properties.num_streams: 1,
                # Each worker process would pin itself to the same core.
                hint.enable_cpu_pinning: False,
                # What training measured and chose. Left alone, it is bf16 on any CPU that has it.
                hint.inference_precision: precision,
            },
        )
        self.request: Any = self.compiled.create_infer_request()

    def predict(self, pictures: np.ndarray) -> np.ndarray:
        return self.request.infer([pictures], share_inputs=True)[self.compiled.output(0)].copy()


class TorchRuntime:
    """The program exported for torch, on ``device`` ("cuda:0"; "cpu" too, where nothing is gained by it).

    On a GPU in half precision. The pictures' memory order is kept, so the network runs channels-last throughout.
    """

    def __init__(self, folder: Path, device: str, threads: int = 1, *, half: bool | None = None) -> None:
        import torch  # after the fork: CUDA does not survive one

        path = folder / TORCH_PROGRAM
        if not path.is_file():
            raise ModelFolderError(
                f"{folder} has no {TORCH_PROGRAM}, the program for GPUs; train it again, or serve it on CPUs"
            )
        torch.set_num_threads(threads)
        self.torch = torch
        self.device = torch.device(device)
        self.half = self.device.type == "cuda" if half is None else half
        module = torch.export.load(path).module()
        self.module: Any = module.to(device=self.device, memory_format=torch.channels_last)
        self.dtype = torch.float16 if self.device.type == "cuda" else torch.bfloat16

    def predict(self, pictures: np.ndarray) -> np.ndarray:
        torch = self.torch
        batch = torch.from_numpy(np.ascontiguousarray(pictures))
        if self.device.type == "cuda":
            batch = batch.pin_memory().to(self.device, non_blocking=True)
        with torch.inference_mode(), torch.autocast(self.device.type, dtype=self.dtype, enabled=self.half):
            return self.module(batch).float().cpu().numpy()


def load_runtime(folder: Path, model: Model, threads: int, gpu: int | None) -> Runtime:
    """The runtime for one worker; ``gpu`` is the device that multi-model-server gave it, or None.

    Raises ModelFolderError.
    """
    if gpu is not None:
        return TorchRuntime(folder, f"cuda:{gpu}", threads)
    return CpuRuntime(folder, threads, model.program.get("inference_precision_hint", "f32"))
