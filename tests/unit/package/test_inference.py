"""What ``predict`` takes, and what it says of it, by the model that the documentation's script trains."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import fastai_sagemaker
from fastai_sagemaker import ModelFolderError, PictureError


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
