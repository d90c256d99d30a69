"""The model folder's own answers to labelled pictures."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("openvino")

from fastai_container.errors import ModelFolderError  # noqa: E402
from fastai_container.model_folder import COMPILED_WEIGHTS, ModelManifest, read_manifest  # noqa: E402
from fastai_container.pictures import model_input  # noqa: E402
from fastai_training.data.sources import find_examples  # noqa: E402
from fastai_training.exporting.export import write_model_folder  # noqa: E402
from fastai_training.exporting.quantization import BATCH  # noqa: E402
from fastai_training.exporting.scoring import score  # noqa: E402
from fastai_training.fitting.models import IMAGENET_STATS, ServingModule, build_classifier  # noqa: E402
from tests.unit.training_data import write_pictures  # noqa: E402

SIZE = 32


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder, data = tmp_path_factory.mktemp("model"), tmp_path_factory.mktemp("data")
    write_pictures(data, 4)
    items = find_examples(data).items
    torch.manual_seed(0)
    model = build_classifier("resnet18", 3, pretrained=False, weights_channel=None).model
    mean, std = map(list, IMAGENET_STATS)
    details = ModelManifest(arch="resnet18", vocab=["blue", "green", "red"], image_size=SIZE, mean=mean, std=std)
    write_model_folder(folder, model, details, items, items, "fp32")
    return folder, model.eval(), items


def test_each_picture_gets_the_networks_probabilities_in_its_order(made):
    folder, model, items = made
    assert len(items) > BATCH  # a batch that isn't full is among them
    scores = score(folder, items)
    pictures = torch.stack([torch.from_numpy(model_input(item.path, SIZE)) for item in items])
    with torch.no_grad():
        expected = ServingModule(model, *IMAGENET_STATS)(pictures).numpy()
    assert scores.items == items
    assert scores.unread == []
    assert scores.probabilities.dtype == np.float32
    assert np.abs(scores.probabilities - expected).max() < 0.01


def test_a_picture_that_is_gone_is_left_out_and_named(made, tmp_path):
    folder, _, items = made
    gone = type(items[0])(tmp_path / "gone.jpg", "red")
    scores = score(folder, [items[0], gone, items[1]])
    assert scores.items == items[:2]
    assert scores.unread == [gone]
    assert scores.probabilities.shape == (2, 3)
    nothing = score(folder, [gone])
    assert nothing.probabilities.shape == (0, 3)


def test_another_file_than_the_one_written_is_not_scored(made, tmp_path):
    folder, _, items = made
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("model.json", *read_manifest(folder).files):
        (copy / name).parent.mkdir(exist_ok=True)
        (copy / name).write_bytes((folder / name).read_bytes())
    (copy / COMPILED_WEIGHTS).write_bytes(b"other")
    with pytest.raises(ModelFolderError, match=r"model\.bin"):
        score(copy, items)
