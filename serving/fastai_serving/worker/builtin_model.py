"""The built-in model: a model folder's own, from a picture in a request to a response."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from fastai_container.model_folder import ModelManifest, read_manifest
from fastai_container.pictures import PictureError, center_square, open_picture
from fastai_serving.environment import WorkerSettings
from fastai_serving.errors import ErrorCode
from fastai_serving.response_formats import Prediction, encode, prediction
from fastai_serving.responses import RequestError, Response
from fastai_serving.worker.backends import Backend, check_output, load_backend
from fastai_serving.worker.heat_map import HEIGHT, draw, fit, heat_map
from fastai_serving.worker.not_a_picture import seems
from fastai_serving.worker.request import Request
from fastai_serving.worker.served_model import failed, guarded


@dataclass
class Predictor:
    """The model that ``model_fn`` would return, and that a script's ``predict_fn`` is given."""

    model: ModelManifest
    backend: Backend

    def __call__(self, pictures: np.ndarray) -> np.ndarray:
        """Give probabilities (n, classes) of uint8 (n, size, size, 3)."""
        return self.backend.predict(pictures)


@dataclass
class Picture:
    """What a request's picture is made into: what the model sees, and what a PNG shows."""

    pixels: np.ndarray
    shown: Image.Image | None = None


def read_picture(request: Request, side: int | None, settings: WorkerSettings) -> Image.Image:
    """Read the request's picture as upright RGB, for a square of ``side`` pixels; whole for None.

    Raises RequestError.
    """
    if not request.body:
        raise RequestError(ErrorCode.EMPTY_BODY, "the request has no body; send one picture")
    try:
        return open_picture(request.body, side, settings.max_pixels, settings.picture_bytes)
    except PictureError as error:
        code = ErrorCode(error.code)  # type: ignore[call-arg]  # looked up by its value
        what = seems(request.body) if code is ErrorCode.NOT_AN_IMAGE else None
        raise RequestError(code, f"{error}; it seems to be {what}" if what else str(error)) from None


def load_predictor(folder: Path, settings: WorkerSettings, gpu: int | None) -> Predictor:
    """Load the model of ``folder``, ready for a client's first request. Raises ModelFolderError."""
    model = read_manifest(folder)
    backend = load_backend(folder, model, settings.threads, gpu, settings.cores)
    # The first pass of a shape allocates for it; a client's request should not wait for that.
    for count in {1, settings.max_batch}:
        blank = np.zeros((count, model.image_size, model.image_size, 3), dtype=np.uint8)
        check_output(model, backend.predict(blank))
    return Predictor(model, backend)


class BuiltinModel:
    """Respond to requests by a Predictor."""

    def __init__(self, predictor: Predictor, settings: WorkerSettings) -> None:
        self.predictor, self.settings = predictor, settings

    def set_busy_workers(self, busy: int) -> None:
        self.predictor.backend.set_busy_workers(busy)

    def predict(self, requests: Sequence[Request]) -> list[Response]:
        """Respond to all requests by one forward pass."""
        responses: dict[int, Response] = {}
        good: list[tuple[int, Request, Picture]] = []
        for index, request in enumerate(requests):
            try:
                good.append((index, request, self.read(request)))
            except Exception as error:  # each request's error is its own
                responses[index] = failed(request, error)
        if good:
            rows = self._rows([picture for _, _, picture in good])
            for (index, request, picture), row in zip(good, rows, strict=True):
                if isinstance(row, Exception):
                    responses[index] = failed(request, row)
                else:
                    responses[index] = guarded(request, partial(self.write, request, picture, row))
        return [responses[index] for index in range(len(requests))]

    def read(self, request: Request) -> Picture:
        """Read the picture, as an ``input_fn`` would, and what the headers ask for. Raises RequestError."""
        request.check_is_picture()
        needs_picture = request.response_format.needs_picture
        request.top_k(len(self.predictor.model.vocab))
        size = self.predictor.model.image_size
        image = read_picture(request, size, self.settings)
        pixels = np.asarray(center_square(image, size))
        if not needs_picture:
            return Picture(pixels)
        if min(image.size) < HEIGHT:  # the model needs less of a JPEG than is shown
            del image
            image = read_picture(request, HEIGHT, self.settings)
        return Picture(pixels, fit(image))

    def write(self, request: Request, picture: Picture | None, row: np.ndarray) -> Response:
        """Write the response for a row of probabilities, as an ``output_fn`` would. Raises RequestError."""
        vocab = self.predictor.model.vocab
        chosen = request.response_format
        content = prediction(row, vocab, request.top_k(len(vocab)))
        if picture is None or picture.shown is None:
            return encode(Prediction(content), chosen)
        pixels, shown = picture.pixels, picture.shown

        def explain() -> bytes:
            return draw(shown, heat_map(self.predictor, pixels, int(row.argmax())), content["predictions"])

        return encode(Prediction(content, explain), chosen)

    def _rows(self, pictures: list[Picture]) -> list[np.ndarray | Exception]:
        """A row of probabilities for each picture, by one forward pass; by one for each if that fails."""
        try:
            return list(self.predictor(np.stack([picture.pixels for picture in pictures])))
        except Exception as error:
            if len(pictures) == 1:
                return [error]
            return [self._rows([picture])[0] for picture in pictures]
