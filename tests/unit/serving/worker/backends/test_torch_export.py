"""The backend for GPUs, run on the CPU; needs torch, which the serving image for CPUs has not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fastai_container.errors import ModelFolderError
from fastai_serving.worker.backends.openvino_cpu import OpenVinoBackend
from fastai_serving.worker.backends.torch_export import TorchExportBackend
from tests.unit.serving.worker.backends.conftest import CLASSES, SIZE

pytest.importorskip("torch")


@pytest.mark.parametrize("count", [1, 2, 7])
def test_both_compiled_models_give_the_same(folder: Path, count: int):
    pictures = np.random.default_rng(count).integers(0, 256, (count, SIZE, SIZE, 3), dtype=np.uint8)
    on_torch = TorchExportBackend(folder, "cpu").predict(pictures)
    assert on_torch.shape == (count, CLASSES)
    assert on_torch.dtype == np.float32
    np.testing.assert_allclose(on_torch.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(on_torch, OpenVinoBackend(folder, 1).predict(pictures), atol=2e-3)
    half = TorchExportBackend(folder, "cpu", half=True).predict(pictures)
    assert half.dtype == np.float32
    np.testing.assert_allclose(half, on_torch, atol=3e-2)
    assert (half != on_torch).any(), "half precision was not used"


def test_a_folder_without_its_file_says_what_to_do(tmp_path: Path):
    with pytest.raises(ModelFolderError, match=r"torch/model\.pt2.*serve it on CPUs"):
        TorchExportBackend(tmp_path, "cpu")
