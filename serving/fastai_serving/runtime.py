"""Run a model folder's program: on the CPU with OpenVINO, on a GPU with torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np

from fastai_container.model_folder import PROGRAM, Model


class Runtime(Protocol):
    def predict(self, pictures: np.ndarray) -> np.ndarray:
        """Probabilities float32 (n, classes) of uint8 RGB pictures (n, size, size, 3)."""


class CpuRuntime:
    """The program compiled by OpenVINO, for one worker with ``threads`` threads."""

    def __init__(self, folder: Path, threads: int) -> None:
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
                # Left alone, it is bf16 where the CPU has it, and 2 answers in 100 are other ones.
                hint.inference_precision: openvino.Type.f32,
            },
        )
        self.request: Any = self.compiled.create_infer_request()

    def predict(self, pictures: np.ndarray) -> np.ndarray:
        return self.request.infer([pictures], share_inputs=True)[self.compiled.output(0)].copy()


def load_runtime(folder: Path, model: Model, threads: int, gpu: int | None) -> Runtime:
    """The runtime for one worker; ``gpu`` is the device that multi-model-server gave it, or None."""
    del model
    return CpuRuntime(folder, threads)
