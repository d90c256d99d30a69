"""A script's own learner as a model folder: what is taken from it, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("fastai")

from fastai.learner import load_learner
from fastai.vision.all import ImageDataLoaders, Resize
from torch import nn

from fastai_container.errors import ExportError, UserError
from fastai_container.model_folder import read_manifest
from fastai_sagemaker import predict
from fastai_training.exporting.from_learner import _metrics, write_learner
from fastai_training.fitting.learner import make_learner
from tests.documented import write_pictures


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("pictures"), 20)


def learner(pictures: Path):
    data = ImageDataLoaders.from_folder(
        pictures, valid_pct=0.3, item_tfms=Resize(64), bs=8, num_workers=0, seed=1, device="cpu"
    )
    return make_learner(data, "resnet18", False, None, {})


def write(learner, folder: Path, **options):
    given = {"samples": None, "serving_precision": "fp32", "metrics": None} | options
    return write_learner(learner, folder, **given)


def test_a_learner_is_written_with_what_it_says_itself(pictures: Path, tmp_path: Path):
    made = learner(pictures)
    made.model.train()
    manifest = write(made, tmp_path, metrics={"error_rate": 0.5})
    assert read_manifest(tmp_path).arch == manifest.arch == "resnet18"
    assert (manifest.image_size, manifest.vocab, manifest.metrics) == (64, ["dark", "light"], {"error_rate": 0.5})
    assert manifest.mean == pytest.approx([0.485, 0.456, 0.406])
    assert made.model.training, "a script may go on with its learner"


def test_metrics_are_those_of_the_last_epoch_and_one_that_is_no_number_is_named(capsys):
    names = ["epoch", "train_loss", "valid_loss", "error_rate"]  # without the time: add_time=False
    values = [[9, 9, 9], [0.3, float("nan"), 0.25]]
    trained = SimpleNamespace(recorder=SimpleNamespace(metric_names=names, values=values))
    assert _metrics(trained) == {"error_rate": 0.25}
    assert "no finite numbers: valid_loss=nan" in capsys.readouterr().out


def test_a_learner_from_a_file_needs_pictures(pictures: Path, tmp_path: Path, capsys):
    write(learner(pictures), tmp_path / "model")
    loaded = load_learner(tmp_path / "model" / "export.pkl")
    with pytest.raises(ExportError, match=r"samples=\[\(path, label\)"):
        write(loaded, tmp_path / "again")
    samples = [(path, path.parent.name) for path in sorted(pictures.rglob("*.png"))[::3]]
    write(loaded, tmp_path / "again", samples=samples)
    assert "int8 is calibrated on the samples too" in capsys.readouterr().out
    first, again = (predict(tmp_path / name, samples[0][0])[0] for name in ("model", "again"))
    assert again.confidence == pytest.approx(first.confidence, abs=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"serving_precision": "fp64"}, "serving_precision='fp64': it is one of auto, fp32, bf16, int8"),
        ({"metrics": {"error_rate": float("nan")}}, "error_rate=nan is not a finite number"),
        ({"metrics": {"error_rate": "low"}}, "error_rate=low is not a finite number"),
        ({"samples": [("nowhere.png", "grey")]}, "nowhere.png has the label grey, which is no class"),
        ({"samples": []}, "samples names no picture"),
    ],
)
def test_what_cannot_be_written_is_refused_before_anything_is(
    pictures: Path, tmp_path: Path, options: dict, message: str
):
    with pytest.raises(UserError, match=re.escape(message)):
        write(learner(pictures), tmp_path / "model", **options)
    assert not (tmp_path / "model").exists()


def test_what_is_no_learner_is_refused(tmp_path: Path):
    with pytest.raises(ExportError, match="takes a fastai Learner, not a Linear"):
        write(nn.Linear(2, 2), tmp_path)
