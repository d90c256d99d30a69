"""Going on from a model: what the new network has of the old one, and how both are scored."""

from __future__ import annotations

import dataclasses
import json
import re
import tarfile

import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load_file, save_file  # noqa: E402

from fastai_container.model_folder import MANIFEST, WEIGHTS, ModelManifest, load_verified, writing  # noqa: E402
from fastai_container.paths import MLPaths  # noqa: E402
from fastai_training.data.sources import find_examples  # noqa: E402
from fastai_training.data.split import stratified_split  # noqa: E402
from fastai_training.fitting.checkpoints import CheckpointError  # noqa: E402
from fastai_training.fitting.fit import fit  # noqa: E402
from fastai_training.fitting.parent_model import ParentError, opened_parent  # noqa: E402
from fastai_training.fitting.parent_network import descend, load_parent  # noqa: E402
from fastai_training.fitting.stop_signal import Stop  # noqa: E402
from fastai_training.hyperparameters import HyperParameterError, HyperParameters  # noqa: E402
from fastai_training.trainer import train  # noqa: E402
from fastai_training.world import Processes  # noqa: E402
from tests.unit.training_data import ARCH, write_model, write_pictures, write_weights  # noqa: E402

VOCAB = ["blue", "gone", "red"]
#: The head's last layer.
LAST = "1.8.weight"
SIZE = 32


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("parent")
    write_model(folder, VOCAB)
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_pictures(folder / "training", 10)
    return folder


def loaded(folder):
    with opened_parent(folder, print) as parent:
        return load_parent(parent)


def descended(folder, vocab, **options):
    """The new network's state, the old one's, and what was said."""
    said = []
    descent = descend(loaded(folder), vocab, HyperParameters(image_size=SIZE, **options), said.append)
    return descent.classifier, load_file(folder / WEIGHTS), said


def test_a_kept_head_has_the_rows_of_the_classes_in_common_in_their_new_places(model):
    classifier, old, said = descended(model, ["amber", "blue", "red", "white"])
    state = classifier.model.state_dict()
    assert state[LAST].shape[0] == 4
    assert torch.equal(state[LAST][1], old[LAST][VOCAB.index("blue")])
    assert torch.equal(state[LAST][2], old[LAST][VOCAB.index("red")])
    rows = {tuple(row) for row in old[LAST].tolist()}
    for fresh in (0, 3):
        assert tuple(state[LAST][fresh].tolist()) not in rows
        assert 0 < float(state[LAST][fresh].std()) < 1
    assert all(torch.equal(state[name], old[name]) for name in old if name != LAST)
    assert classifier.stats == ((0.4, 0.5, 0.6), (0.2, 0.3, 0.4))
    assert len(said) == 1
    for words in (ARCH, "head kept for 2 classes", "2 new (amber, white)", "1 dropped (gone)", "SHA-256 "):
        assert words in said[0]


def test_a_new_head_is_wholly_new_and_the_body_is_not(model):
    classifier, old, said = descended(model, VOCAB, head="new")
    state = classifier.model.state_dict()
    for name, value in old.items():
        learnt = value.dim() > 1
        if name.startswith("0."):
            assert torch.equal(state[name], value)
        elif learnt:
            assert not torch.equal(state[name], value)
    assert "a new head, 0 new, 0 dropped" in said[0]


def test_without_a_class_in_common_auto_makes_a_new_head_and_keep_refuses(model):
    _, _, said = descended(model, ["cat", "dog"])
    assert "a new head, 2 new (cat, dog), 3 dropped (blue, gone, red)" in said[0]
    with pytest.raises(HyperParameterError, match=r"none of the 2 classes of the data \(cat, dog\) is one of the 3"):
        descended(model, ["cat", "dog"], head="keep")


def test_another_picture_size_is_taken_by_a_network_that_takes_any(model):
    descent = descend(loaded(model), VOCAB, HyperParameters(image_size=48), print)
    assert torch.equal(descent.classifier.model.state_dict()[LAST], load_file(model / WEIGHTS)[LAST])


def test_another_picture_size_is_refused_by_one_that_was_made_for_its_own(tmp_path):
    write_model(tmp_path, VOCAB, arch="vit_tiny_patch16_224", size=32)
    with pytest.raises(ParentError, match=r"made for image_size=32, its weights don't fit image_size=48 .*pos_embed"):
        descend(loaded(tmp_path), VOCAB, HyperParameters(image_size=48), print)


def rewrite(folder, manifest, state):
    with writing(folder, manifest) as partial:
        save_file(state, partial / WEIGHTS)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda state: state.pop("1.2.weight"), "1.2.weight is missing"),
        (lambda state: state.update({"1.9.weight": torch.zeros(2)}), "1.9.weight is unknown"),
        (lambda state: state.update({LAST: torch.zeros(5, 512)}), r"1.8.weight is \(5, 512\), not \(3, 512\)"),
    ],
)
def test_weights_of_another_network_are_refused(model, tmp_path, change, words):
    state = load_file(model / WEIGHTS)
    change(state)
    rewrite(tmp_path, load_verified(model), state)
    with pytest.raises(ParentError, match=words):
        loaded(tmp_path)


def test_a_network_of_ones_own_is_refused_by_its_name(model, tmp_path):
    rewrite(tmp_path, dataclasses.replace(load_verified(model), arch="MyNet"), load_file(model / WEIGHTS))
    with pytest.raises(ParentError, match=r"can't be gone on from: there is no architecture 'MyNet'"):
        loaded(tmp_path)


def test_what_is_no_safetensors_file_is_refused(model, tmp_path):
    with writing(tmp_path, load_verified(model)) as partial:
        (partial / WEIGHTS).write_bytes(b"not a tensor in it")
    with pytest.raises(ParentError, match="can't be read as weights"):
        loaded(tmp_path)


@pytest.mark.parametrize("arch", ["resnet18", ARCH])
def test_what_vision_learner_makes_is_gone_on_from(data, tmp_path, arch):
    from fastai.vision.all import ImageDataLoaders, Resize, vision_learner
    from torchvision import models

    pictures = sorted((data / "training").iterdir())
    loaders = ImageDataLoaders.from_name_func(
        data, pictures, lambda name: name.partition("_")[0], item_tfms=Resize(SIZE), bs=4, num_workers=0
    )
    learner = vision_learner(loaders, getattr(models, arch, arch), pretrained=False)
    state = {name: value.contiguous() for name, value in learner.model.cpu().state_dict().items()}
    rewrite(tmp_path, ModelManifest(arch, list(loaders.vocab), SIZE, [0.5] * 3, [0.5] * 3), state)
    batch = torch.randn(2, 3, SIZE, SIZE)
    with torch.no_grad():
        assert torch.equal(loaded(tmp_path).network.eval()(batch), learner.model.eval()(batch))


def test_the_network_is_the_one_that_the_manifest_names(tmp_path):
    """A user's efficientnet_lite0 is another one here; both have the same tensors, and pad otherwise."""
    write_model(tmp_path, VOCAB, arch="tf_efficientnet_lite0")
    manifest = load_verified(tmp_path)
    assert loaded(tmp_path).network[0].model.conv_stem.padding == (0, 0)
    rewrite(tmp_path, dataclasses.replace(manifest, arch="efficientnet_lite0"), load_file(tmp_path / WEIGHTS))
    assert loaded(tmp_path).network[0].model.conv_stem.padding == (1, 1)
    descent = descend(loaded(tmp_path), VOCAB, HyperParameters(image_size=SIZE), print)
    assert descent.classifier.model[0].model.conv_stem.padding == (1, 1)
    assert descent.classifier.arch == "efficientnet_lite0"


def run(data, checkpoints, parent, **options):
    values = {"arch": ARCH, "epochs": 0, "batch_size": 4, "image_size": SIZE, "workers": 0, "precision": "fp32"}
    parameters = HyperParameters(**(values | options))
    examples = find_examples(data / "training")
    train_items, valid = stratified_split(examples.items, 0.4, parameters.seed)
    return fit(
        train_items,
        valid,
        examples.vocab,
        parameters,
        None,
        checkpoints=checkpoints,
        model_folder=data / "model",
        data_root=data,
        processes=Processes(),
        stop=Stop(),
        parent=parent,
    ), valid


def expected_error(folder, valid, size=SIZE):
    """The parent's share of mistakes, by serving's way of preparing a picture."""
    from fastai_container.pictures import model_input
    from fastai_training.fitting.models import ServingModule

    manifest = load_verified(folder)
    network = ServingModule(loaded(folder).network, tuple(manifest.mean), tuple(manifest.std)).eval()
    known = [item for item in valid if item.label in manifest.vocab]
    pictures = torch.stack([torch.tensor(model_input(item.path, size)) for item in known])
    with torch.no_grad():
        found = network(pictures).argmax(1).tolist()
    wrong = sum(manifest.vocab[place] != item.label for place, item in zip(found, known, strict=True))
    return wrong / len(known), len(known)


@pytest.mark.parametrize("size", [SIZE, 48])
def test_parent_and_new_network_are_scored_on_the_same_pictures(model, data, tmp_path, capsys, size):
    result, valid = run(data, tmp_path, loaded(model), image_size=size)
    wrong, count = expected_error(model, valid)
    assert count == 8
    told = capsys.readouterr().out
    line = f"parent error_rate={wrong:.4f} on 8 pictures of 2 classes it knows"
    lines = [text for text in told.splitlines() if text.startswith("parent error_rate=")]
    assert lines[0] == line
    assert re.fullmatch(re.escape(line) + r"; now error_rate=\d\.\d{4}", lines[1])
    assert told.index(line) < told.index("epoch=1 ") < told.index("now error_rate=")
    known = [place for place, item in enumerate(valid) if item.label in ("blue", "red")]
    vocab = ["blue", "green", "red"]
    mistakes = [vocab[int(result.probabilities[place].argmax())] != valid[place].label for place in known]
    assert result.lineage["on_classes_in_common"] == {
        "pictures": 8,
        "parent_error_rate": pytest.approx(wrong),
        "error_rate": pytest.approx(sum(mistakes) / 8),
    }
    assert result.lineage["classes"] == {"in_common": 2, "new": ["green"], "dropped": ["gone"]}
    assert result.lineage["head"] == "kept"
    assert result.weights == f"the channel model (model.json SHA-256 {loaded(model).digest})"


def test_without_a_class_in_common_there_is_no_error_to_compare(data, tmp_path, capsys):
    write_model(tmp_path / "other", ["cat", "dog"])
    result, _ = run(data, tmp_path / "checkpoints", loaded(tmp_path / "other"))
    assert "no error to compare" in capsys.readouterr().out
    assert result.lineage["on_classes_in_common"] == {}
    assert result.lineage["head"] == "new"


def test_a_run_goes_on_from_its_checkpoint_with_the_same_parent_alone(model, data, tmp_path):
    first, _ = run(data, tmp_path / "checkpoints", loaded(model))
    again, _ = run(data, tmp_path / "checkpoints", loaded(model))
    assert torch.equal(first.probabilities, again.probabilities)
    assert first.lineage == again.lineage
    rewrite(tmp_path / "other", load_verified(model), load_file(model / WEIGHTS) | {LAST: torch.zeros(3, 512)})
    with pytest.raises(
        CheckpointError, match=r"the pretrained weights were the channel model .* are the channel model"
    ):
        run(data, tmp_path / "checkpoints", loaded(tmp_path / "other"))
    with pytest.raises(CheckpointError, match="head was auto, is new"):
        run(data, tmp_path / "checkpoints", loaded(model), head="new")


def job(folder, channels, **hyperparameters):
    """A job of the built-in trainer, ``folder`` standing for /opt/ml; returns what its model folder says."""
    paths = MLPaths(folder)
    for path in (paths.config, paths.data, paths.model, paths.checkpoints, paths.output_data):
        path.mkdir(parents=True)
    for name, source in channels.items():
        (paths.data / name).symlink_to(source)
    values = {"batch_size": "4", "workers": "0", "serving_precision": "fp32", "precision": "fp32"} | hyperparameters
    (paths.config / "hyperparameters.json").write_text(json.dumps(values))
    train(paths, Processes(), Stop())
    return load_verified(paths.model)


def test_a_job_goes_on_from_the_model_of_another_with_a_class_more(tmp_path, capsys):
    write_pictures(tmp_path / "two", 20, ("red", "blue"))
    write_pictures(tmp_path / "three", 20)
    write_weights(tmp_path / "weights")
    first = {"training": tmp_path / "two", "weights": tmp_path / "weights"}
    job(tmp_path / "first", first, arch=ARCH, image_size="32", epochs="2", lr="0.01")
    before = json.loads((tmp_path / "first" / "model" / MANIFEST).read_text())
    assert "lineage" not in before  # what images from before the field read
    (tmp_path / "channel").mkdir()
    with tarfile.open(tmp_path / "channel" / "model.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "first" / "model", ".")
    capsys.readouterr()
    channels = {"training": tmp_path / "three", "model": tmp_path / "channel"}
    after = job(tmp_path / "second", channels, epochs="0")
    told = capsys.readouterr().out
    assert (after.arch, after.image_size, after.vocab) == (ARCH, 32, ["blue", "green", "red"])
    assert (after.mean, after.std) == (before["mean"], before["std"])
    assert after.hyperparameters["arch"] == ARCH
    assert after.lineage["parent"]["model_json_sha256"] == loaded(tmp_path / "first" / "model").digest
    assert after.lineage["classes"] == {"in_common": 2, "new": ["green"], "dropped": []}
    for words in (
        f"the channel model: arch={ARCH} and image_size=32 of its model",
        "body reused, head kept for 2 classes, 1 new (green), 0 dropped",
        "on 8 pictures of 2 classes it knows; now error_rate=",
    ):
        assert words in told
    summary = json.loads((tmp_path / "second" / "output" / "data" / "summary.json").read_text())
    assert summary["lineage"] == after.lineage
    # The body was frozen: it is the parent's still.
    old, new = (load_file(tmp_path / name / "model" / WEIGHTS) for name in ("first", "second"))
    assert all(torch.equal(old[name], new[name]) for name in old if name.startswith("0."))
