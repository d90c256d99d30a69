"""A model folder without a server: its manifest, and what it predicts for pictures."""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from fastai_container.errors import PictureError, UserError
from fastai_container.model_folder import ModelManifest, read_manifest
from fastai_container.pictures import center_square, model_input

#: Pictures of one forward pass.
BATCH = 8


@dataclass(frozen=True)
class Prediction:
    """What a model says of one picture.

    ``label`` is the class with the highest probability, ``confidence`` that probability (0 to 1). ``probabilities`` has
    every class, the most probable first; they sum to 1.
    """

    label: str
    confidence: float
    probabilities: dict[str, float]


def load_manifest(folder: str | Path) -> ModelManifest:
    """What the model folder's ``model.json`` says.

    Raises ModelFolderError when there is no finished model of a version that is known, or when it can't be right.
    """
    return read_manifest(Path(folder))


def _file(image: Image.Image) -> bytes:
    """``image`` as a file without loss, so that transparency and depth are read by the rules for files."""
    file = io.BytesIO()
    try:
        image.save(file, "PNG")
    except OSError:  # a mode that PNG lacks, such as CMYK
        file = io.BytesIO()
        image.save(file, "TIFF")
    return file.getvalue()


def _pixels(picture: str | Path | bytes | Image.Image, size: int) -> np.ndarray:
    if isinstance(picture, Image.Image):
        upright = ImageOps.exif_transpose(picture)
        if upright.mode == "RGB":
            return np.asarray(center_square(upright, size))
        return model_input(_file(upright), size)
    return model_input(picture if isinstance(picture, bytes) else Path(picture), size)


def predict(
    folder: str | Path, pictures: str | Path | bytes | Image.Image | Iterable[str | Path | bytes | Image.Image]
) -> list[Prediction]:
    """What the model of ``folder`` says of ``pictures``, as an endpoint on a CPU would; a prediction each, in order.

    A picture is a file's path, the bytes of one, or a Pillow image; a single one may be passed by itself. The compiled
    model is read at each call, so pass many pictures at once.

    Raises ModelFolderError for a folder that can't be served, PictureError for a picture that can't be used (it names
    the file, or its place in ``pictures``), UserError where OpenVINO isn't installed.
    """
    if importlib.util.find_spec("openvino") is None or importlib.util.find_spec("fastai_serving") is None:
        raise UserError("predict needs OpenVINO: pip install 'fastai-sagemaker[serving]', or use one of the images")
    from fastai_serving.worker.backends import check_output, load_backend

    if isinstance(pictures, str | Path | bytes | Image.Image):
        pictures = [pictures]
    folder = Path(folder)
    manifest = read_manifest(folder)
    model = load_backend(folder, manifest, threads=0, gpu=None)
    found: list[Prediction] = []
    batch: list[np.ndarray] = []

    def run() -> None:
        if batch:
            rows = model.predict(np.stack(batch))
            check_output(manifest, rows)
            found.extend(_prediction(row, manifest.vocab) for row in rows)
            batch.clear()

    for place, picture in enumerate(pictures):
        try:
            batch.append(_pixels(picture, manifest.image_size))
        except PictureError as error:
            name = picture if isinstance(picture, str | Path) else f"picture {place + 1}"
            raise PictureError(error.code, f"{name}: {error}") from None
        if len(batch) == BATCH:
            run()
    run()
    return found


def _prediction(row: np.ndarray, vocab: list[str]) -> Prediction:
    order = np.argsort(-row, kind="stable")
    probabilities = {vocab[place]: float(row[place]) for place in order}
    return Prediction(vocab[order[0]], float(row[order[0]]), probabilities)
