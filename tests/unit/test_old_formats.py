"""Model folders and checkpoints that were written before the modules moved are read as they were."""

from __future__ import annotations

import importlib.util
import json
import shutil

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("fastai")
pytest.importorskip("openvino")

from fastai_container.model_folder import files_to_run, load_verified  # noqa: E402
from fastai_serving.environment import WorkerSettings  # noqa: E402
from fastai_serving.responses import JSON  # noqa: E402
from fastai_serving.worker.backends import TorchExportBackend  # noqa: E402
from fastai_serving.worker.request import Request  # noqa: E402
from fastai_serving.worker.service import Service  # noqa: E402
from fastai_training.data.sources import find_examples  # noqa: E402
from fastai_training.data.split import stratified_split  # noqa: E402
from fastai_training.fitting.checkpoints import list_checkpoints, read_checkpoint  # noqa: E402
from fastai_training.fitting.fit import fit  # noqa: E402
from fastai_training.fitting.stop_signal import Stop  # noqa: E402
from fastai_training.hyperparameters import HyperParameters  # noqa: E402
from fastai_training.world import Processes  # noqa: E402
from tests.fixtures import old_formats as old  # noqa: E402
from tests.unit.training_data import COLOURS, write_picture  # noqa: E402

#: Of probabilities: the weights on disk are fp16.
CLOSE = 2e-3


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model folder of version 1 and the network that it holds."""
    place = tmp_path_factory.mktemp("old")
    example = write_picture(place / "red_1.jpg", COLOURS["red"])
    return place / "model", old.write_model_folder(place / "model", example)


def expected(program, colour):
    with torch.no_grad():
        return program(torch.tensor(colour, dtype=torch.uint8).expand(1, old.SIZE, old.SIZE, 3)).numpy()


def test_the_model_folder_is_read_and_verified(folder):
    model = load_verified(folder[0], [*files_to_run(gpu=False), *files_to_run(gpu=True)])
    assert (model.vocab, model.image_size, model.format_version) == (old.VOCAB, old.SIZE, 1)
    assert (model.mean, model.std) == (old.MEAN, old.STD)
    assert model.hyperparameters["arch"] == old.ARCH
    assert model.metrics["error_rate"] == 0.25
    assert model.program["inference_precision_hint"] == "f32"
    assert set(model.files) == {
        *("export.pkl", "model.safetensors", "openvino/model.bin", "openvino/model.xml", "torch/model.pt2")
    }


def test_the_model_folder_is_served(folder):
    place, program = folder
    service = Service(place, WorkerSettings(1, JSON, 10_000, 2))
    for colour in COLOURS.values():
        body = f"P6 {old.SIZE} {old.SIZE} 255\n".encode() + bytes(colour) * old.SIZE**2
        response = service.respond([Request({}, body, "image/x-portable-pixmap", "")])[0]
        content = json.loads(response.body)
        given = {row["class"]: row["confidence"] for row in content["predictions"]}
        wanted = dict(zip(old.VOCAB, expected(program, colour)[0].tolist(), strict=True))
        assert response.status == 200
        assert given == pytest.approx(wanted, abs=CLOSE)
        assert content["class"] == max(wanted, key=wanted.__getitem__)


def test_the_model_for_gpus_names_a_class_that_moved_and_is_run_all_the_same(folder):
    place, program = folder
    assert f"{old.MODULE}.Program".encode() in (place / "torch/model.pt2").read_bytes()
    assert importlib.util.find_spec(old.MODULE) is None
    pictures = np.full((1, old.SIZE, old.SIZE, 3), COLOURS["red"], dtype=np.uint8)
    given = TorchExportBackend(place, "cpu", half=False).predict(pictures)
    assert given == pytest.approx(expected(program, COLOURS["red"]), abs=1e-5)


def test_the_learner_is_loaded(folder):
    from fastai.vision.all import load_learner

    learner = load_learner(folder[0] / "export.pkl")
    assert list(learner.dls.vocab) == old.VOCAB
    assert learner.model.state_dict().keys() == old.small_network().state_dict().keys()


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return old.write_data(tmp_path_factory.mktemp("data"))


def go_on(data, checkpoints):
    """What today's training makes of the checkpoint in ``checkpoints``."""
    parameters = HyperParameters(**old.ALL_HYPERPARAMETERS)
    examples = find_examples(data / "training")
    train, valid = stratified_split(examples.items, parameters.valid_pct, parameters.seed)
    return fit(
        train,
        valid,
        examples.vocab,
        parameters,
        data / "weights",
        checkpoints=checkpoints,
        model_folder=data / "model",
        data_root=data,
        processes=Processes(),
        stop=Stop(),
    )


def same(one, other):
    return all(torch.equal(value, other[name]) for name, value in one.items()) and one.keys() == other.keys()


@pytest.mark.parametrize("position", [old.IN_THE_HEADS_EPOCH, old.IN_THE_WHOLES_EPOCH])
def test_training_goes_on_from_a_checkpoint(data, tmp_path, capsys, position):
    state = old.write_checkpoint(tmp_path, data, position)
    result = go_on(data, tmp_path)
    assert f"going on from checkpoint-{position[3]:08d}.pt" in capsys.readouterr().out
    assert [row["epoch"] for row in result.history] == [1, 2, 3]
    assert result.history[: position[0]] == state["progress"]["history"]
    assert not same(state["model"], result.model.state_dict()), "it trained what was left"
    newest = read_checkpoint(list_checkpoints(tmp_path)[0])
    assert newest["position"] == dict(zip(("phase", "epoch", "batch", "total"), old.AT_THE_END, strict=True))
    assert newest.keys() == state.keys()


def test_training_that_was_done_gives_the_checkpoints_weights(data, tmp_path):
    state = old.write_checkpoint(tmp_path, data, old.AT_THE_END)
    result = go_on(data, tmp_path)
    assert same(state["model"], result.model.state_dict())
    assert result.history == state["progress"]["history"]


def test_an_older_checkpoint_stands_in_for_a_damaged_one(data, tmp_path, capsys):
    old.write_checkpoint(tmp_path, data, old.AT_THE_END)
    shutil.copy(tmp_path / "checkpoint-00000012.pt", tmp_path / "checkpoint-00000013.pt")
    newest = tmp_path / "checkpoint-00000013.pt"
    newest.write_bytes(newest.read_bytes().replace(b"checkpoint-1 ", b"checkpoint-0 ", 1))
    go_on(data, tmp_path)
    said = capsys.readouterr().out
    assert "checkpoint-00000013.pt can't be used" in said
    assert "going on from checkpoint-00000012.pt" in said
