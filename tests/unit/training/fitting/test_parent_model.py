"""The channel ``model``: what is taken for a model, what is refused and with which words."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import os
import pickle
import subprocess
import sys
import tarfile

import pytest

from fastai_container.model_folder import FORMAT_VERSION, MANIFEST, WEIGHTS, ModelManifest, writing
from fastai_container.paths import MLPaths
from fastai_training.data.channels import Channels, find_channels
from fastai_training.diagnosis.volumes import VolumeError
from fastai_training.fitting import parent_model
from fastai_training.fitting.parent_model import ParentError, opened_parent, settle
from fastai_training.hyperparameters import HyperParameterError, HyperParameters, given, parse
from fastai_training.trainer import _take_parent

DETAILS = ModelManifest("resnet18", ["cat", "dog"], 64, [0.5] * 3, [0.5] * 3)


@pytest.fixture
def model(tmp_path):
    """A model folder whose weights are no weights: nothing here opens them."""
    with writing(tmp_path / "made", DETAILS) as partial:
        (partial / WEIGHTS).write_bytes(b"weights")
        (partial / "openvino").mkdir()
        (partial / "openvino" / "model.xml").write_bytes(b"<net/>")
    return tmp_path / "made"


@pytest.fixture
def channel(tmp_path):
    (tmp_path / "model").mkdir()
    return tmp_path / "model"


def pack(source, archive, mode="w:gz", prefix=""):
    with tarfile.open(archive, mode) as members:
        for path in sorted(source.rglob("*")):
            members.add(path, prefix + path.relative_to(source).as_posix(), recursive=False)


def take(channel):
    """What is found in ``channel``, and what was said."""
    said = []
    with opened_parent(channel, said.append) as parent:
        return parent, parent.weights.read_bytes(), said


def refusal(channel):
    with pytest.raises(ParentError) as caught:
        take(channel)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(("name", "mode"), [("model.tar.gz", "w:gz"), ("mine.tgz", "w:gz"), ("model.tar", "w")])
@pytest.mark.parametrize("prefix", ["", "./"])
def test_an_archive_is_taken_packed(model, channel, name, mode, prefix):
    pack(model, channel / name, mode, prefix)
    parent, weights, said = take(channel)
    assert parent.manifest.vocab == ["cat", "dog"]
    assert parent.digest == hashlib.sha256((model / MANIFEST).read_bytes()).hexdigest()
    assert (weights, said) == (b"weights", [])
    assert not parent.folder.exists()  # it was for the block alone
    assert [path.name for path in channel.iterdir()] == [name]


def test_a_folder_is_taken_as_it_is(model):
    parent, _, said = take(model)
    assert (parent.folder, said) == (model, [])
    assert model.exists()


def test_what_is_not_used_is_named(model):
    (model / "model.tar.gz").write_bytes(b"anything")
    (model / "code").mkdir()
    _, _, said = take(model)
    assert "model.tar.gz is not used" in said[0]
    assert "code/ is not taken over" in said[1]


def test_an_empty_channel_says_what_to_give(channel):
    assert "is empty; give the model.tar.gz" in refusal(channel)


def test_other_files_are_named(channel):
    (channel / "a.txt").touch()
    assert "no model.json and no model.tar.gz (it holds a.txt)" in refusal(channel)


def test_several_archives_are_too_many(model, channel):
    for name in ("a.tar.gz", "b.tar.gz"):
        pack(model, channel / name)
    assert "holds 2 archives (a.tar.gz, b.tar.gz)" in refusal(channel)


def test_a_model_in_a_folder_is_pointed_at(model, channel):
    (channel / "output").mkdir()
    pack(model, channel / "output" / "model.tar.gz")
    assert "the model is in its folder output" in refusal(channel)


def test_an_archive_of_the_folder_is_pointed_at(model, channel):
    pack(model, channel / "model.tar.gz", prefix="made/")
    assert "model.tar.gz in the channel model: the model is in its folder made" in refusal(channel)


class Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (self.folder,)


@pytest.mark.parametrize("packed", [True, False])
def test_a_pickled_learner_is_refused_unopened(tmp_path, channel, packed):
    folder = tmp_path / "learner" if packed else channel
    folder.mkdir(exist_ok=True)
    (folder / "export.pkl").write_bytes(pickle.dumps(Trap(str(tmp_path / "executed"))))
    if packed:
        pack(folder, channel / "model.tar.gz")
    text = refusal(channel)
    assert "export.pkl" in text
    assert "fastai_sagemaker.export_model(load_learner(...), folder, samples=" in text
    assert not (tmp_path / "executed").exists()


def test_weights_alone_are_refused(channel):
    (channel / "resnet18.pth").write_bytes(b"x")
    text = refusal(channel)
    assert "weights alone don't say their architecture and classes" in text
    assert "channel weights" in text


@pytest.mark.parametrize("packed", [True, False])
def test_a_file_that_is_not_the_written_one_is_found(model, channel, packed):
    (model / WEIGHTS).write_bytes(b"WEIGHTS")
    if packed:
        pack(model, channel / "model.tar.gz")
    text = refusal(channel if packed else model)
    assert "model.safetensors is not the file that training wrote" in text
    assert ("model.tar.gz" if packed else "its folder") in text
    assert "/tmp" not in text  # where it was unpacked means nothing to its user


def test_a_model_without_its_weights_is_refused(model):
    (model / WEIGHTS).unlink()
    assert "model.safetensors is missing" in refusal(model)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format_version": FORMAT_VERSION + 1}, "use an image at least as new"),
        ({"task": "segmentation"}, "'task' is no field"),
        ({"vocab": ["cat"]}, "at least two classes"),
        ({"lineage": []}, "lineage must be an object"),
    ],
)
def test_a_manifest_of_something_else_is_refused(model, change, words):
    content = json.loads((model / MANIFEST).read_text()) | change
    (model / MANIFEST).write_text(json.dumps(content))
    assert words in refusal(model)


def test_an_archive_cut_short_is_refused(model, channel):
    pack(model, channel / "model.tar.gz")
    whole = (channel / "model.tar.gz").read_bytes()
    for length in (0, 20, len(whole) // 2):
        (channel / "model.tar.gz").write_bytes(whole[:length])
        assert "no tar archive, or cut short; copy it again" in refusal(channel)
    (channel / "model.tar.gz").write_bytes(b"<html>not found</html>")
    assert "no tar archive, or cut short" in refusal(channel)


def add(archive, name, kind=tarfile.REGTYPE, content=b"x", link=""):
    with tarfile.open(archive, "w:gz") as members:
        member = tarfile.TarInfo(name)
        member.type, member.size, member.linkname = kind, len(content) if kind == tarfile.REGTYPE else 0, link
        members.addfile(member, io.BytesIO(content))


@pytest.mark.parametrize("name", ["../outside", "/outside", "a/../../outside"])
def test_nothing_is_written_outside(tmp_path, channel, name):
    add(channel / "model.tar.gz", name)
    assert "which lies outside of it" in refusal(channel)
    assert not list(tmp_path.rglob("outside"))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_only_plain_files_are_unpacked(channel, kind):
    add(channel / "model.tar.gz", "model.safetensors", kind, link="/etc/passwd")
    assert "holds model.safetensors, which is no plain file" in refusal(channel)


def test_more_than_there_is_room_for_is_not_unpacked(channel, monkeypatch):
    add(channel / "model.tar.gz", WEIGHTS, content=bytes(5000))
    monkeypatch.setattr(parent_model, "free_bytes", lambda _folder: 4000)
    with pytest.raises(VolumeError, match="the disk is full"):
        take(channel)


def test_an_archive_of_very_many_files_is_refused(model, channel, monkeypatch):
    pack(model, channel / "model.tar.gz")
    monkeypatch.setattr(parent_model, "MAX_FILES", 2)
    assert "more than 2 files" in refusal(channel)


@pytest.fixture
def parent(model):
    return take(model)[0]


def settled(parent, values):
    said = []
    return settle(parse(values), given(values), parent, said.append), said


def test_what_is_not_given_is_the_parents(parent):
    parameters, said = settled(parent, {"epochs": "3"})
    assert (parameters.arch, parameters.image_size, parameters.epochs) == ("resnet18", 64, 3)
    assert said == ["the channel model: arch=resnet18 and image_size=64 of its model"]


def test_the_same_given_is_no_matter(parent):
    parameters, said = settled(parent, {"model_arch": "resnet18", "image-size": "64"})
    assert (parameters.arch, parameters.image_size, said) == ("resnet18", 64, [])


def test_another_image_size_is_used_and_told(parent):
    parameters, said = settled(parent, {"size": "96"})
    assert parameters.image_size == 96
    assert said == [
        "the channel model: image_size=96 as asked for; its model was trained at 64",
        "the channel model: arch=resnet18 of its model",
    ]


def test_another_architecture_is_refused_naming_both(parent):
    # The default's name counts too, once the user gives it.
    with pytest.raises(HyperParameterError, match="arch=resnet34, but the model in the channel model is a resnet18"):
        settled(parent, {"arch": "resnet34"})


def test_a_name_that_means_the_same_network_is_not_another(parent):
    manifest = dataclasses.replace(parent.manifest, arch="tf_efficientnet_lite0")
    parameters, _ = settled(dataclasses.replace(parent, manifest=manifest), {"arch": "efficientnet_lite0"})
    assert parameters.arch == "tf_efficientnet_lite0"
    manifest = dataclasses.replace(parent.manifest, arch="efficientnet_lite0")
    with pytest.raises(HyperParameterError, match="is a efficientnet_lite0"):
        settled(dataclasses.replace(parent, manifest=manifest), {"arch": "tf_efficientnet_lite0"})


def test_from_scratch_contradicts_a_parent(parent):
    with pytest.raises(HyperParameterError, match=r"pretrained=false .* leave out one"):
        settled(parent, {"pretrained": "false"})


def test_the_head_alone_may_be_trained(parent):
    assert settled(parent, {"epochs": "0"})[0].epochs == 0


def test_the_channel_is_found_by_its_name(tmp_path):
    paths = MLPaths(tmp_path)
    for name in ("training", "model"):
        (paths.data / name).mkdir(parents=True)
    assert find_channels(paths).model == paths.data / "model"


def test_keeping_a_head_needs_a_model(tmp_path):
    channels = Channels(tmp_path)
    with pytest.raises(HyperParameterError, match="head=keep"):
        _take_parent(channels, HyperParameters(head="keep"), frozenset({"head"}), print)
    assert _take_parent(channels, HyperParameters(), frozenset(), print) == (HyperParameters(), None)


def test_a_weights_channel_beside_it_is_named_as_not_used(tmp_path, channel):
    said = []
    with pytest.raises(ParentError, match="is empty"):
        _take_parent(Channels(tmp_path, weights=tmp_path, model=channel), HyperParameters(), frozenset(), said.append)
    assert said == ["the channel weights is not used: the weights are those of the model in the channel model"]


def test_what_is_wrong_is_told_before_torch_is_imported(channel):
    script = """if True:
        import sys
        from pathlib import Path
        from fastai_training.data.channels import Channels
        from fastai_training.hyperparameters import HyperParameters
        from fastai_training.trainer import _take_parent
        channels = Channels(Path("/"), model=Path(sys.argv[1]))
        try:
            _take_parent(channels, HyperParameters(), frozenset(), print)
        except Exception as error:
            print(type(error).__name__, "torch" in sys.modules)
    """
    done = subprocess.run([sys.executable, "-c", script, channel], capture_output=True, text=True, check=True)
    assert done.stdout == "ParentError False\n"
