"""A model folder with the compiled models of one small network, for every backend; training makes them, with torch."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastai_container.model_folder import COMPILED_MODEL, TORCH_MODEL, ModelManifest

SIZE, CLASSES = 32, 3


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder's two compiled models of one small network."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("fastai")
    from fastai_training.exporting.export import write_compiled_model, write_torch_model

    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, stride=2, padding=1),
        torch.nn.BatchNorm2d(8),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(8, CLASSES),
    ).eval()
    details = ModelManifest("small", ["a", "b", "c"], SIZE, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    root = tmp_path_factory.mktemp("model")
    with torch.no_grad():
        write_compiled_model(network, details, root / COMPILED_MODEL)
        write_torch_model(network, details, root / TORCH_MODEL)
    return root
