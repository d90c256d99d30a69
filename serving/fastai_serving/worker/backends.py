"""Run a model folder's program: on the CPU with OpenVINO, on a GPU with torch."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from fastai_container.errors import ModelFolderError
from fastai_container.model_folder import (
    PRECISION_HINTS,
    PROGRAM,
    TORCH_PROGRAM,
    ModelManifest,
    files_to_run,
    seal,
    verify_files,
)
from fastai_serving.environment import SEAL_ENV
from fastai_serving.worker.tbb_threads import SingleThread

logger = logging.getLogger(__name__)

_NO_TORCH_PROGRAM = f"{{}} has no {TORCH_PROGRAM}, the program for GPUs; train it again, or serve it on CPUs"


class Runtime(Protocol):
    def predict(self, pictures: np.ndarray) -> np.ndarray:
        """Probabilities float32 (n, classes) of uint8 RGB pictures (n, size, size, 3)."""

    def share(self, busy: int) -> None:
        """What comes next shares the machine with ``busy`` workers, this one among them."""


class CpuRuntime:
    """The program compiled by OpenVINO, for one worker with ``threads`` threads; ``precision`` is f32 or bf16.

    Where a worker has one thread and there are more ``cores``, it is compiled for all of them too: for a request that
    comes while no other worker has anything to do (``share``). Until the first one there is no further thread, and the
    process may be forked.
    """

    def __init__(self, folder: Path, threads: int, precision: str = "f32", cores: int = 1) -> None:
        self.alone = False
        self.held: SingleThread | None = None
        self.wide: Any = None
        if threads == 1 < cores:
            try:
                self.held = SingleThread()
            except OSError as error:
                logger.warning("a lone request will have one core of %d: %s", cores, error)
        self.request: Any = _compile(folder, threads, precision)
        if self.held:
            self.wide = _compile(folder, cores, precision)
        #: Pixels of a picture's side.
        self.size: int = self.request.model_inputs[0].partial_shape[1].get_length()

    def predict(self, pictures: np.ndarray) -> np.ndarray:
        request = self.wide if self.alone else self.request
        return request.infer([pictures], share_inputs=True)[0].copy()

    def share(self, busy: int) -> None:
        """All cores for the only busy worker."""
        self.alone = busy == 1 and self.wide is not None
        if self.alone and self.held:
            self.held.lift()
            self.held = None


def _compile(folder: Path, threads: int, precision: str) -> Any:
    """A request of the program of ``folder``, compiled for ``threads`` threads."""
    # A worker on a GPU has no OpenVINO to import.
    import openvino
    from openvino import properties
    from openvino.properties import hint

    compiled: Any = openvino.Core().compile_model(
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
    request = compiled.create_infer_request()
    size = compiled.input(0).partial_shape[1].get_length()
    # The first pass packs the weights: here, so that all workers that are forked later share them.
    request.infer([np.zeros((1, size, size, 3), dtype=np.uint8)])
    return request


class TorchRuntime:
    """The program exported for torch, on ``device`` ("cuda:0"; "cpu" too, where nothing is gained by it).

    On a GPU in half precision. The pictures' memory order is kept, so the network runs channels-last throughout.
    """

    def __init__(self, folder: Path, device: str, threads: int = 1, *, half: bool | None = None) -> None:
        import torch  # after the fork: CUDA does not survive one

        path = folder / TORCH_PROGRAM
        if not path.is_file():
            raise ModelFolderError(_NO_TORCH_PROGRAM.format(folder))
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

    def share(self, busy: int) -> None:
        """A GPU is its worker's own."""


def load_runtime(folder: Path, model: ModelManifest, threads: int, gpu: int | None, cores: int = 1) -> Runtime:
    """The runtime for one worker with ``threads`` threads, on a machine of ``cores``; ``gpu`` is the device that
    multi-model-server gave it, or None.

    The files that it opens are verified first, unless the supervisor did it and they are as they were. Raises
    ModelFolderError.
    """
    if gpu is not None and TORCH_PROGRAM not in model.files and not (folder / TORCH_PROGRAM).exists():
        raise ModelFolderError(_NO_TORCH_PROGRAM.format(folder))
    names = files_to_run(gpu is not None)
    verified = os.environ.get(SEAL_ENV)
    if not verified or verified != seal(folder, model) or not model.files.keys() >= set(names):
        verify_files(folder, model, names)
    if gpu is not None:
        return TorchRuntime(folder, f"cuda:{gpu}", threads)
    runtime = CpuRuntime(folder, threads, model.program.get("inference_precision_hint", PRECISION_HINTS[0]), cores)
    if runtime.size != model.image_size:
        raise ModelFolderError(
            f"the model's program takes pictures of {runtime.size} x {runtime.size} pixels but model.json says "
            f"{model.image_size} (image_size); they are not of one model: train or copy the whole folder again"
        )
    return runtime


def check_output(model: ModelManifest, probabilities: np.ndarray) -> None:
    """Raises ModelFolderError unless ``probabilities``, of the first pass, are numbers for each class of ``model``."""
    classes = len(model.vocab)
    if probabilities.ndim != 2 or probabilities.shape[1] != classes:
        gives = f"{probabilities.shape[1]}" if probabilities.ndim == 2 else f"{probabilities.ndim - 1}-dimensional"
        raise ModelFolderError(
            f"the model's program has {gives} outputs but model.json names {classes} classes (vocab); they are not of "
            "one model: train or copy the whole folder again"
        )
    if not np.isfinite(probabilities).all():
        raise ModelFolderError("the model's program answers with what is no number (NaN or infinite); train it again")
