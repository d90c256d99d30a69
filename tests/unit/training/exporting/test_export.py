"""What training leaves: the model folder, its programs, the learner for people."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
openvino = pytest.importorskip("openvino")

from fastai_container.model_folder import COMPILED_MODEL, LEARNER, TORCH_MODEL, WEIGHTS, ModelManifest, load_verified  # noqa: E402
from fastai_container.pictures import model_input  # noqa: E402
from fastai_training.data.sources import find_examples  # noqa: E402
from fastai_training.exporting.export import versions, write_model_folder  # noqa: E402
from fastai_training.exporting.quantization import BF16, FP32, INT8, has_bf16  # noqa: E402
from fastai_training.fitting.models import IMAGENET_STATS, ServingModule, build_classifier  # noqa: E402
from tests.unit.training_data import write_pictures  # noqa: E402

SIZE = 32


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    data = tmp_path_factory.mktemp("data")
    write_pictures(data, 8)
    examples = find_examples(data)
    torch.manual_seed(0)
    model = build_classifier("resnet18", 3, pretrained=False, weights_channel=None).model
    details = ModelManifest(
        arch="resnet18",
        vocab=examples.vocab,
        image_size=SIZE,
        mean=list(IMAGENET_STATS[0]),
        std=list(IMAGENET_STATS[1]),
        versions=versions(),
    )
    train, valid = examples.items[::2], examples.items[1::2]
    written = write_model_folder(folder, model, details, train, valid, "auto")
    return folder, model, written, valid


def test_the_folder_is_whole_and_says_what_was_measured(made):
    folder, _, written, valid = made
    model = load_verified(folder)
    assert model.program == written.program
    assert model.versions["nncf"]
    expected = {FP32, INT8} | ({BF16} if has_bf16(openvino.Core()) else set())
    assert set(model.program["scores"]) == expected
    assert model.program["precision"] in expected
    assert model.program["scored_pictures"] == len(valid)
    for score in model.program["scores"].values():
        assert 0 <= score["error_rate"] <= 1
        assert score["milliseconds"] > 0
        assert score["hint"] in ("f32", "bf16")
    assert model.program["scores"][FP32]["agreement"] == 1


def answers(folder, valid, hint):
    program = openvino.Core().compile_model(str(folder / COMPILED_MODEL), "CPU", {"INFERENCE_PRECISION_HINT": hint})
    return program([np.stack([model_input(item.path, SIZE) for item in valid])])[0]


@pytest.mark.parametrize("precision", [FP32, INT8])
def test_the_program_answers_as_the_network_does(made, tmp_path, precision):
    _, model, written, valid = made
    write_model_folder(tmp_path, model, written, valid, valid, precision)
    facts = load_verified(tmp_path).program
    assert (facts["precision"], facts["asked"]) == (precision, precision)
    pictures = torch.stack([torch.from_numpy(model_input(item.path, SIZE)) for item in valid])
    with torch.no_grad():
        expected = ServingModule(model.eval(), IMAGENET_STATS[0], IMAGENET_STATS[1])(pictures).numpy()
    assert np.abs(answers(tmp_path, valid, facts["inference_precision_hint"]) - expected).max() < (
        0.01 if precision == FP32 else 0.1
    )


def test_the_same_network_gives_the_same_files(made, tmp_path):
    _, model, written, valid = made
    for name in ("one", "two"):
        write_model_folder(tmp_path / name, model, written, valid, valid, FP32)
    one, two = (load_verified(tmp_path / name).files for name in ("one", "two"))
    # OpenVINO numbers its operations through a process: a second program has other names in it.
    assert {name for name in one if one[name] != two[name]} <= {COMPILED_MODEL}
    assert {LEARNER, WEIGHTS, TORCH_MODEL} < set(one)


def test_the_weights_are_the_networks(made):
    from safetensors.torch import load_file

    folder, model, _, _ = made
    state = load_file(folder / WEIGHTS)
    assert all(torch.equal(state[name], value) for name, value in model.state_dict().items())


def test_the_learner_loads_where_only_fastai_is(made):
    from fastai.vision.all import load_learner

    folder, _, written, valid = made
    assert b"fastai_training" not in (folder / LEARNER).read_bytes()
    learner = load_learner(folder / LEARNER)
    with learner.no_bar(), learner.no_logging():
        label, _, probabilities = learner.predict(valid[0].path)
    assert label in written.vocab
    assert float(probabilities.sum()) == pytest.approx(1, abs=1e-4)
