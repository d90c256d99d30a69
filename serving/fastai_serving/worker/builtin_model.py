"""The built-in program: a model folder's own model, from a picture in a request to an answer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from fastai_container.model_folder import ModelManifest, read_manifest
from fastai_container.pictures import PictureError, center_square, open_picture
from fastai_serving.environment import WorkerSettings
from fastai_serving.responses import (
    PNG,
    Answer,
    RequestError,
    check_content_type,
    choose_format,
    encode,
    prediction,
    top_k,
)
from fastai_serving.worker.backends import Runtime, check_output, load_runtime
from fastai_serving.worker.heat_map import HEIGHT, draw, fit, heat_map
from fastai_serving.worker.not_a_picture import seems
from fastai_serving.worker.request import Request


@dataclass
class Predictor:
    """Our own model: what model_fn would return, and what a script's predict_fn is given."""

    model: ModelManifest
    runtime: Runtime

    def __call__(self, pictures: np.ndarray) -> np.ndarray:
        """Probabilities (n, classes) of uint8 (n, size, size, 3)."""
        return self.runtime.predict(pictures)


@dataclass
class Picture:
    """What a request's picture is made into: what the model sees, and what a PNG shows."""

    pixels: np.ndarray
    shown: Image.Image | None = None


def read_picture(request: Request, side: int | None, settings: WorkerSettings) -> Image.Image:
    """The request's picture as upright RGB, for a square of ``side`` pixels; whole for None. Raises RequestError."""
    if not request.body:
        raise RequestError(400, "empty_body", "the request has no body; send one picture")
    try:
        return open_picture(request.body, side, settings.max_pixels, settings.picture_bytes)
    except PictureError as error:
        what = seems(request.body) if error.code == "not_an_image" else None
        raise RequestError(400, error.code, f"{error}; it seems to be {what}" if what else str(error)) from None


def load_predictor(folder: Path, settings: WorkerSettings, gpu: int | None) -> Predictor:
    """The model of ``folder``, ready for a client's first request. Raises ModelFolderError."""
    model = read_manifest(folder)
    runtime = load_runtime(folder, model, settings.threads, gpu, settings.cores)
    # The first pass of a shape allocates for it; a client's request should not wait for that.
    for count in {1, settings.max_batch}:
        blank = np.zeros((count, model.image_size, model.image_size, 3), dtype=np.uint8)
        check_output(model, runtime.predict(blank))
    return Predictor(model, runtime)


class Builtin:
    """How a Predictor answers requests."""

    def __init__(self, predictor: Predictor, settings: WorkerSettings) -> None:
        self.predictor, self.settings = predictor, settings

    def read(self, request: Request) -> Picture:
        """Our input_fn. Raises RequestError."""
        check_content_type(request.content_type)
        wants_png = choose_format(request.accept, self.settings.default_accept) == PNG
        top_k(request.attributes, len(self.predictor.model.vocab))
        size = self.predictor.model.image_size
        image = read_picture(request, size, self.settings)
        pixels = np.asarray(center_square(image, size))
        if not wants_png:
            return Picture(pixels)
        if min(image.size) < HEIGHT:  # the model needs less of a JPEG than is shown
            del image
            image = read_picture(request, HEIGHT, self.settings)
        return Picture(pixels, fit(image))

    def predict(self, pictures: list[Picture]) -> list[np.ndarray | Exception]:
        """A row of probabilities for each picture, by one forward pass; by one for each if that fails."""
        try:
            return list(self.predictor(np.stack([picture.pixels for picture in pictures])))
        except Exception as error:
            if len(pictures) == 1:
                return [error]
            return [self.predict([picture])[0] for picture in pictures]

    def write(self, request: Request, picture: Picture | None, row: np.ndarray) -> Answer:
        """Our output_fn for a row of probabilities. Raises RequestError."""
        vocab = self.predictor.model.vocab
        kind = choose_format(request.accept, self.settings.default_accept)
        content = prediction(row, vocab, top_k(request.attributes, len(vocab)))
        if kind != PNG:
            return encode(content, kind)
        if picture is None or picture.shown is None:
            raise RequestError(406, "not_acceptable", "this model's script reads the input itself; a PNG can't be made")
        heat = heat_map(self.predictor, picture.pixels, int(row.argmax()))
        return Answer(draw(picture.shown, heat, content["predictions"]), PNG)
