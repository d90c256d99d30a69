"""A learner that fastai exported, opened where its user says so."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from fastai.vision.all import ImageDataLoaders, MultiCategoryBlock, Resize, resnet18, vision_learner  # noqa: E402

from fastai_container.model_folder import load_verified  # noqa: E402
from fastai_training.data.channels import Channels  # noqa: E402
from fastai_training.exporting.exported_learner import LearnerError, write_exported  # noqa: E402
from fastai_training.fitting.parent_model import ParentError  # noqa: E402
from fastai_training.hyperparameters import HyperParameterError, HyperParameters  # noqa: E402
from fastai_training.trainer import _take_parent  # noqa: E402
from tests.unit.training_data import write_pictures  # noqa: E402

TRUSTED = HyperParameters(unpickle=True)


def export(folder: Path, target: Path, **options) -> None:
    """Export an untrained learner of fastai's own parts, on pictures that ``folder`` takes."""
    names = [str(path) for path in write_pictures(folder, 3, ("red", "blue"))]
    labels = [Path(name).stem.rpartition("_")[0] for name in names]
    loaders = ImageDataLoaders.from_lists(
        folder, names, labels, item_tfms=Resize(64), bs=2, num_workers=0, valid_pct=0.4, seed=1, **options
    )
    target.parent.mkdir(parents=True, exist_ok=True)
    learner = vision_learner(loaders, resnet18, pretrained=False)
    learner.path = target.parent
    learner.export(target.name)


def take(channel: Path, said: list[str], parameters: HyperParameters = TRUSTED):
    return _take_parent(Channels(channel, model=channel), parameters, frozenset({"unpickle"}), said.append)


def test_a_learner_is_gone_on_from_when_it_is_trusted(tmp_path):
    export(tmp_path / "pictures", tmp_path / "model" / "export.pkl")
    said: list[str] = []
    parameters, parent = take(tmp_path / "model", said)
    assert parent is not None
    assert (parent.manifest.arch, parent.manifest.vocab) == ("resnet18", ["blue", "red"])
    assert (parameters.arch, parameters.image_size) == ("resnet18", 64)
    assert "the learner export.pkl was opened as unpickle=true says: resnet18 of 2 classes" in said
    write_exported(tmp_path / "model" / "export.pkl", tmp_path / "written", said.append)
    assert load_verified(tmp_path / "written").vocab == ["blue", "red"]


def test_it_stays_unopened_otherwise(tmp_path):
    export(tmp_path / "pictures", tmp_path / "model" / "export.pkl")
    with pytest.raises(ParentError, match=r"is code, and isn't run here.*set unpickle=true"):
        take(tmp_path / "model", [], HyperParameters())


def test_one_of_another_task_is_refused(tmp_path):
    export(tmp_path / "pictures", tmp_path / "model" / "export.pkl", y_block=MultiCategoryBlock)
    with pytest.raises(LearnerError, match=r"export\.pkl can't be gone on from: .*several labels a picture"):
        take(tmp_path / "model", [])


@pytest.mark.parametrize(("content", "words"), [(b"no pickle", "can't be opened"), (pickle.dumps([1]), "")])
def test_what_is_no_learner_is_refused(tmp_path, content, words):
    (tmp_path / "export.pkl").write_bytes(content)
    with pytest.raises(LearnerError, match=words or "export.pkl"):
        take(tmp_path, [])


def test_unpickling_without_a_learner_is_refused(tmp_path):
    with pytest.raises(HyperParameterError, match="there is no such channel"):
        _take_parent(Channels(tmp_path), TRUSTED, frozenset({"unpickle"}), print)
    (tmp_path / "model.json").write_text("{}")
    with pytest.raises(ParentError, match="is a model folder, which needs no pickle"):
        take(tmp_path, [])
    (tmp_path / "model.json").rename(tmp_path / "a.pkl")
    (tmp_path / "b.pkl").write_bytes(b"")
    with pytest.raises(ParentError, match=r"takes the one pickle.*it holds a\.pkl, b\.pkl"):
        take(tmp_path, [])
