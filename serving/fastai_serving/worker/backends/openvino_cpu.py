"""The backend for CPUs: the graph that training compiled for OpenVINO."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np

from fastai_container.model_folder import COMPILED_MODEL
from fastai_serving.worker.tbb_threads import SingleThreadLimit

logger = logging.getLogger(__name__)


class OpenVinoBackend:
    """The compiled model in OpenVINO, for one worker with ``threads`` threads; ``precision`` is f32 or bf16.

    Where a worker has one thread and there are more ``cores``, it is compiled for all of them too: for a request that
    comes while no other worker has anything to do (``set_busy_workers``). Until the first one there is no further
    thread, and the process may be forked.
    """

    def __init__(self, folder: Path, threads: int, precision: str = "f32", cores: int = 1) -> None:
        self.use_all_cores = False
        self.thread_limit: SingleThreadLimit | None = None
        self.all_cores_request: Any = None
        if threads == 1 < cores:
            try:
                self.thread_limit = SingleThreadLimit()
            except OSError as error:
                logger.warning("a lone request will have one core of %d: %s", cores, error)
        self.request: Any = _compile(folder, threads, precision)
        if self.thread_limit:
            self.all_cores_request = _compile(folder, cores, precision)
        self.size: int | None = self.request.model_inputs[0].partial_shape[1].get_length()

    def predict(self, pictures: np.ndarray) -> np.ndarray:
        request = self.all_cores_request if self.use_all_cores else self.request
        return request.infer([pictures], share_inputs=True)[0].copy()

    def set_busy_workers(self, busy: int) -> None:
        """Use all cores where this worker is the only busy one."""
        self.use_all_cores = busy == 1 and self.all_cores_request is not None
        if self.use_all_cores and self.thread_limit:
            self.thread_limit.release()
            self.thread_limit = None


def _compile(folder: Path, threads: int, precision: str) -> Any:
    """A request of the compiled model of ``folder``, for ``threads`` threads."""
    # A worker on a GPU has no OpenVINO to import.
    import openvino
    from openvino import properties
    from openvino.properties import hint

    compiled: Any = openvino.Core().compile_model(
        str(folder / COMPILED_MODEL),
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
    request = compiled.create_infer_request()
    size = compiled.input(0).partial_shape[1].get_length()
    # The first pass packs the weights: here, so that all workers that are forked later share them.
    request.infer([np.zeros((1, size, size, 3), dtype=np.uint8)])
    return request
