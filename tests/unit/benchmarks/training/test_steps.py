from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("fastai")

from benchmarks.training.steps import measure  # noqa: E402
from fastai_training.data.sources import find_examples  # noqa: E402
from fastai_training.hyperparameters import HyperParameters  # noqa: E402
from tests.unit.training_data import ARCH, write_pictures  # noqa: E402


def test_our_steps_run_with_and_without_the_loader(tmp_path):
    write_pictures(tmp_path, 6)
    items = find_examples(tmp_path).items
    parameters = HyperParameters(arch=ARCH, image_size=32, batch_size=4, workers=0, pretrained=False)
    found = measure(items, parameters, torch.device("cpu"), 2)
    assert len(found["real"]) == len(found["synthetic"]) == 2
    assert all(rate > 0 for rate in found["real"] + found["synthetic"])
