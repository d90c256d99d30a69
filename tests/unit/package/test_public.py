"""The public package from the outside: its surface, its documentation, and that it needs no torch to be imported."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import fastai_sagemaker
from fastai_sagemaker import ExportError, ModelFolderError, PictureError, UserError
from tests.documented import DOCUMENT, READ, run

#: Runs what follows as if these packages were not installed.
WITHOUT = """
import sys
from importlib.abc import MetaPathFinder
class Missing(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {lacking!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Missing())
import importlib.util
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, *more: None if name.split(".")[0] in {lacking!r} else found(name, *more)
"""


def test_everything_public_is_documented():
    for name in fastai_sagemaker.__all__:
        assert re.search(rf"`{name}\b", DOCUMENT), f"{name} is not in docs/python.md"
        assert hasattr(fastai_sagemaker, name)
        assert name == "__version__" or inspect.getdoc(getattr(fastai_sagemaker, name))


def test_everything_documented_is_public():
    for name, parameters in re.findall(r"^`(\w+)\((.*)\) -> \S+`$", DOCUMENT, re.MULTILINE):
        call = getattr(fastai_sagemaker, name)
        assert name in fastai_sagemaker.__all__
        wanted = [part.split("=")[0].strip("* ") for part in parameters.split(",") if part.strip() != "*"]
        assert list(inspect.signature(call).parameters) == wanted
        assert f"### {name}\n" in DOCUMENT
    assert set(dir(fastai_sagemaker)) == set(fastai_sagemaker.__all__)
    with pytest.raises(AttributeError, match="no attribute 'export'"):
        fastai_sagemaker.export  # noqa: B018


def test_importing_it_imports_nothing_heavy():
    heavy = {"numpy", "PIL", "torch", "fastai", "openvino"}
    assert run(f"import sys, fastai_sagemaker; print(sorted({heavy} & set(sys.modules)))").stdout == "[]\n"


@pytest.mark.parametrize(
    "call", ["export_model(None, 'm')", "check_learner(None)", "build_learner(None)", "loader_workers(8, 64)"]
)
def test_without_torch_what_trains_says_what_it_needs(call: str):
    code = (
        WITHOUT.format(lacking={"torch", "fastai"})
        + f"""
import fastai_sagemaker
try:
    fastai_sagemaker.{call}
except fastai_sagemaker.TrainingNeededError as error:
    print(error)
"""
    )
    done = run(code)
    assert done.stdout.startswith(f"{call.partition('(')[0]} needs fastai and torch, which this environment lacks"), (
        done
    )
    assert "training image" in done.stdout


def test_the_documented_snippets_train_and_predict(model: Path, pictures: Path, tmp_path: Path):
    code = f"import os; os.chdir({str(tmp_path)!r})\n" + READ
    (tmp_path / "model").symlink_to(model)
    (tmp_path / "picture.jpg").write_bytes((pictures / "light" / "0.png").read_bytes())
    # OpenVINO alone predicts, as in the serving image
    done = run(WITHOUT.format(lacking={"torch", "fastai", "fastai_training"}) + code)
    assert done.returncode == 0, done.stderr[-2000:]
    manifest, prediction = done.stdout.splitlines()
    assert manifest.startswith("resnet18 96 ['dark', 'light'] {'valid_loss': ")
    assert prediction.startswith("light ")


def test_pictures_come_in_any_form_and_number(model: Path, pictures: Path):
    path = pictures / "dark" / "3.png"
    several = [path, str(path), path.read_bytes(), Image.open(path)] * 5
    found = fastai_sagemaker.predict(model, several)
    assert len(found) == 20
    assert {prediction.label for prediction in found} == {"dark"}
    assert list(found[0].probabilities) == ["dark", "light"]
    assert sum(found[0].probabilities.values()) == pytest.approx(1)
    for other in found[1:]:
        assert other.confidence == pytest.approx(found[0].confidence, abs=1e-5)
    assert fastai_sagemaker.predict(model, path)[0].confidence == pytest.approx(found[0].confidence, abs=1e-5)
    assert fastai_sagemaker.predict(model, []) == []


def test_pillow_pictures_are_read_as_their_files_are(model: Path, pictures: Path, tmp_path: Path):
    """Transparency is laid over white, more than 8 bits by their range, and EXIF's orientation is followed."""
    dark = Image.open(pictures / "dark" / "5.png")
    clear = dark.copy()
    clear.putalpha(0)
    turned = tmp_path / "turned.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    dark.crop((0, 0, 100, 60)).save(turned, exif=exif)
    deep = Image.fromarray(np.asarray(dark.convert("L"), dtype=np.uint16) * 257)
    for image, path in ((clear, tmp_path / "clear.png"), (deep, tmp_path / "deep.png")):
        image.save(path)
    for path in (tmp_path / "clear.png", tmp_path / "deep.png", turned):
        (of_file,), (of_picture,) = (fastai_sagemaker.predict(model, [one]) for one in (path, Image.open(path)))
        assert of_picture.probabilities == pytest.approx(of_file.probabilities, abs=1e-4), path
    assert fastai_sagemaker.predict(model, clear)[0].label == "light"
    assert fastai_sagemaker.predict(model, dark.convert("CMYK"))[0].label == "dark"


def test_a_picture_that_cannot_be_used_is_named(model: Path, pictures: Path, tmp_path: Path):
    (tmp_path / "notes.jpg").write_text("no picture")
    with pytest.raises(PictureError, match=r"notes\.jpg: not a picture") as raised:
        fastai_sagemaker.predict(model, [pictures / "dark" / "0.png", tmp_path / "notes.jpg"])
    assert raised.value.code == "not_an_image"
    with pytest.raises(PictureError, match="picture 2: not a picture"):
        fastai_sagemaker.predict(model, [pictures / "dark" / "0.png", b"no picture"])


def test_a_folder_that_holds_no_model_is_refused(tmp_path: Path):
    for call in (fastai_sagemaker.load_manifest, lambda folder: fastai_sagemaker.predict(folder, [])):
        with pytest.raises(ModelFolderError, match=r"no model\.json"):
            call(tmp_path)


def _learner(pictures: Path, **options):
    from fastai.vision.all import ImageDataLoaders, Resize

    given = {"item_tfms": Resize(64), "bs": 8, "num_workers": 0, "seed": 1} | options
    data = ImageDataLoaders.from_folder(pictures, valid_pct=0.3, **given)
    return fastai_sagemaker.build_learner(data, "resnet18", pretrained=False)


def test_a_learner_is_written_with_what_it_says_itself(pictures: Path, tmp_path: Path):
    pytest.importorskip("fastai")
    learner = _learner(pictures)
    learner.model.train()
    manifest = fastai_sagemaker.export_model(learner, tmp_path, serving_precision="fp32", metrics={"error_rate": 0.5})
    assert fastai_sagemaker.load_manifest(tmp_path).arch == manifest.arch == "resnet18"
    assert (manifest.image_size, manifest.vocab, manifest.metrics) == (64, ["dark", "light"], {"error_rate": 0.5})
    assert manifest.mean == pytest.approx([0.485, 0.456, 0.406])
    assert learner.model.training, "a script may go on with its learner"


def test_metrics_are_those_of_the_last_epoch_and_one_that_is_no_number_is_named(capsys):
    pytest.importorskip("fastai")
    from fastai_training.exporting.from_learner import _metrics

    names = ["epoch", "train_loss", "valid_loss", "error_rate"]  # without the time: add_time=False
    values = [[9, 9, 9], [0.3, float("nan"), 0.25]]
    learner = SimpleNamespace(recorder=SimpleNamespace(metric_names=names, values=values))
    assert _metrics(learner) == {"error_rate": 0.25}
    assert "no finite numbers: valid_loss=nan" in capsys.readouterr().out


def test_a_learner_from_a_file_needs_pictures(model: Path, pictures: Path, tmp_path: Path):
    load = pytest.importorskip("fastai.learner").load_learner
    learner = load(model / "export.pkl")
    with pytest.raises(ExportError, match=r"samples=\[\(path, label\)"):
        fastai_sagemaker.export_model(learner, tmp_path / "again")
    samples = [(path, path.parent.name) for path in sorted(pictures.rglob("*.png"))[::3]]
    fastai_sagemaker.export_model(learner, tmp_path / "again", samples=samples, serving_precision="fp32")
    again = fastai_sagemaker.predict(tmp_path / "again", samples[0][0])[0]
    assert again.confidence == pytest.approx(fastai_sagemaker.predict(model, samples[0][0])[0].confidence, abs=1e-4)


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
    pytest.importorskip("fastai")
    with pytest.raises(UserError, match=re.escape(message)):
        fastai_sagemaker.export_model(_learner(pictures), tmp_path / "model", **options)
    assert not (tmp_path / "model").exists()


def test_what_is_no_learner_is_refused(tmp_path: Path):
    pytest.importorskip("fastai")
    with pytest.raises(ExportError, match="takes a fastai Learner, not a Linear"):
        fastai_sagemaker.export_model(pytest.importorskip("torch").nn.Linear(2, 2), tmp_path)


def test_loaders_without_a_size_are_refused(pictures: Path):
    pytest.importorskip("fastai")
    with pytest.raises(UserError, match=r"use item_tfms=Resize\(SIZE\)"):
        _learner(pictures, item_tfms=None)
