"""Run a model folder's program on the CPU with OpenVINO."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openvino
from openvino import properties
from openvino.properties import hint

from fastai_container.model_folder import PROGRAM, Model


class CpuRuntime:
    """The compiled program of a model folder, for one worker with ``threads`` threads."""

    def __init__(self, folder: Path, model: Model, threads: int) -> None:
        core = openvino.Core()
        self.compiled = core.compile_model(
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
        self.request = self.compiled.create_infer_request()
        # The first run allocates and compiles for its shape; a client's request should not wait for that.
        self.predict(np.zeros((1, model.image_size, model.image_size, 3), dtype=np.uint8))

    def predict(self, pictures: np.ndarray) -> np.ndarray:
        """Probabilities float32 (n, classes) of uint8 RGB pictures (n, size, size, 3)."""
        return self.request.infer([pictures], share_inputs=True)[self.compiled.output(0)].copy()
