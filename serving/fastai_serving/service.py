"""One worker's model: a batch of requests in, an answer for each out; one's error is not another's."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fastai_container.model_folder import Model, read_model
from fastai_container.pictures import PictureError, center_square, open_picture
from fastai_serving import logs
from fastai_serving.answers import (
    INTERNAL,
    PNG,
    Answer,
    RequestError,
    check_content_type,
    choose_format,
    encode,
    error_answer,
    prediction,
    top_k,
)
from fastai_serving.explain import HEIGHT, draw, heat_map
from fastai_serving.hooks import Hooks, ScriptError, answer_from_script, body_for_script, call, error_of_script
from fastai_serving.mistaken import seems
from fastai_serving.runtime import Runtime, check_output, load_runtime
from fastai_serving.settings import WorkerSettings

logger = logging.getLogger(__name__)

CUSTOM_ATTRIBUTES = "x-amzn-sagemaker-custom-attributes"
REQUEST_ID = "x-request-id"
_OUT_OF_MEMORY = RequestError(
    507, "out_of_memory", "there was not enough memory for this request; send a smaller picture"
)


@dataclass(frozen=True)
class Request:
    """Header names are in lower case."""

    headers: Mapping[str, str]
    body: bytes
    content_type: str
    accept: str


@dataclass
class Predictor:
    """Our own model: what model_fn would return."""

    model: Model
    runtime: Runtime

    def __call__(self, pictures: np.ndarray) -> np.ndarray:
        """Probabilities (n, classes) of uint8 (n, size, size, 3)."""
        return self.runtime.predict(pictures)


@dataclass
class Picture:
    """What our input_fn makes of a request: what the model sees, and what a PNG shows."""

    pixels: np.ndarray
    shown: Image.Image | None = None


class Service:
    """Answers with the built-in program, a user's hooks in place of ours where the script has them."""

    def __init__(
        self,
        folder: Path,
        settings: WorkerSettings,
        *,
        hooks: Hooks | None = None,
        gpu: int | None = None,
        context: Any = None,
    ) -> None:
        self.folder, self.settings, self.gpu, self.context = folder, settings, gpu, context
        self.hooks = hooks or Hooks()
        hook = self.hooks
        if hook.pre_model_fn:
            call(hook.pre_model_fn, (str(folder),), context)
        self.model: Any = call(hook.model_fn, (str(folder),), context) if hook.model_fn else self._load()
        if not (hook.transform_fn or hook.predict_fn or callable(self.model)):
            raise ScriptError(
                "model_fn returns something that can't be called; the script needs predict_fn or transform_fn too"
            )
        if hook.model_warmup_fn:
            call(hook.model_warmup_fn, (str(folder), self.model), context)

    def _load(self) -> Predictor:
        model = read_model(self.folder)
        runtime = load_runtime(self.folder, model, self.settings.threads, self.gpu, self.settings.cores)
        # The first pass of a shape allocates for it; a client's request should not wait for that.
        for count in {1, self.settings.max_batch}:
            blank = np.zeros((count, model.image_size, model.image_size, 3), dtype=np.uint8)
            check_output(model, runtime.predict(blank))
        return Predictor(model, runtime)

    def answer(self, requests: Sequence[Request], busy: int | None = None) -> list[Answer]:
        """An answer for each request, in their order. ``busy``: how many workers work now, this one among them; None
        where nobody knows.
        """
        if busy is not None and isinstance(self.model, Predictor):
            self.model.runtime.share(busy)
        logger.debug("batch of %d", len(requests))
        if self.hooks != Hooks(pre_model_fn=self.hooks.pre_model_fn, model_warmup_fn=self.hooks.model_warmup_fn):
            return [self._guarded(request, self._answer_by_hooks) for request in requests]
        answers: dict[int, Answer] = {}
        good: list[tuple[int, Request, Picture]] = []
        for index, request in enumerate(requests):
            try:
                good.append((index, request, self._read(request)))
            except Exception as error:  # each request's error is its own
                answers[index] = self._error(request, error)
        if good:
            rows = self._predict([picture for _, _, picture in good])
            for (index, request, picture), row in zip(good, rows, strict=True):
                if isinstance(row, Exception):
                    answers[index] = self._error(request, row)
                else:
                    answers[index] = self._guarded(
                        request, lambda request, p=picture, r=row: self._write(request, p, r)
                    )
        return [answers[index] for index in range(len(requests))]

    def _guarded(self, request: Request, work: Any) -> Answer:
        try:
            answer: Answer = work(request)
        except Exception as error:
            return self._error(request, error)
        return answer

    def _error(self, request: Request, error: Exception) -> Answer:
        if isinstance(error, RequestError):
            return error_answer(error)
        if isinstance(error, MemoryError):
            return error_answer(_OUT_OF_MEMORY)
        token = logs.request_id.set(request.headers.get(REQUEST_ID, ""))
        try:
            logger.error("the request failed", exc_info=error)
        finally:
            logs.request_id.reset(token)
        return error_answer(INTERNAL)

    def _predict(self, pictures: list[Picture]) -> list[np.ndarray | Exception]:
        """A row of probabilities for each picture, by one forward pass; by one for each if that fails."""
        try:
            return list(self.model(np.stack([picture.pixels for picture in pictures])))
        except Exception as error:
            if len(pictures) == 1:
                return [error]
            return [self._predict([picture])[0] for picture in pictures]

    # What stands in for the hooks that a script lacks.

    def _read(self, request: Request) -> Picture:
        """Our input_fn. Raises RequestError."""
        check_content_type(request.content_type)
        wants_png = choose_format(request.accept, self.settings.default_accept) == PNG
        details = self.model.model if isinstance(self.model, Predictor) else read_model(self.folder)
        top_k(request.headers.get(CUSTOM_ATTRIBUTES, ""), len(details.vocab))
        if not request.body:
            raise RequestError(400, "empty_body", "the request has no body; send one picture")
        size = details.image_size
        try:
            # The model must see the same pixels whatever the answer's format, so what is shown is decoded apart.
            image = open_picture(request.body, size, self.settings.max_pixels)
            pixels = np.asarray(center_square(image, size))
            shown = open_picture(request.body, HEIGHT, self.settings.max_pixels) if wants_png else None
        except PictureError as error:
            what = seems(request.body) if error.code == "not_an_image" else None
            raise RequestError(400, error.code, f"{error}; it seems to be {what}" if what else str(error)) from None
        return Picture(pixels, shown)

    def _write(self, request: Request, picture: Picture | None, row: np.ndarray) -> Answer:
        """Our output_fn for a row of probabilities."""
        vocab = self.model.model.vocab if isinstance(self.model, Predictor) else read_model(self.folder).vocab
        kind = choose_format(request.accept, self.settings.default_accept)
        content = prediction(row, vocab, top_k(request.headers.get(CUSTOM_ATTRIBUTES, ""), len(vocab)))
        if kind != PNG:
            return encode(content, kind)
        if picture is None or picture.shown is None:
            raise RequestError(406, "not_acceptable", "this model's script reads the input itself; a PNG can't be made")
        heat = heat_map(self.model, picture.pixels, int(row.argmax()))
        return Answer(draw(picture.shown, heat, content["predictions"]), PNG)

    def _answer_by_hooks(self, request: Request) -> Answer:
        hook, context = self.hooks, self.context
        accept = request.accept if request.accept.strip() not in ("", "*/*") else self.settings.default_accept

        def run(function: Any, *arguments: Any) -> Any:
            try:
                return call(function, arguments, context)
            except MemoryError:
                raise
            except Exception as error:
                told = error_of_script(error)
                if told.status == 500:
                    self._error(request, error)  # for the log; the client gets the message alone
                raise told from None

        if hook.transform_fn:
            body = body_for_script(request.body, request.content_type)
            return answer_from_script(run(hook.transform_fn, self.model, body, request.content_type, accept), accept)
        picture: Picture | None = None
        if hook.input_fn:
            data = run(hook.input_fn, body_for_script(request.body, request.content_type), request.content_type)
        else:
            picture = self._read(request)
            data = picture.pixels
        if hook.predict_fn:
            result = run(hook.predict_fn, data, self.model)
        elif hook.model_fn or hook.input_fn:
            result = run(self._call_model, data)
        else:
            result = self.model(data[None])[0]
        if hook.output_fn:
            return answer_from_script(run(hook.output_fn, result, accept), accept)
        if isinstance(result, np.ndarray) and result.ndim == 1 and self._is_ours(result):
            return self._write(request, picture, result)
        return answer_from_script(result, accept if choose_format(accept) != PNG else "application/json")

    def _call_model(self, data: Any) -> Any:
        """Our predict_fn where the model or its input is the script's; our own program gets a batch of one."""
        if not isinstance(self.model, Predictor):
            return self.model(data)
        pixels = np.asarray(data)
        size = self.model.model.image_size
        if isinstance(data, Image.Image):
            pixels = np.asarray(center_square(data.convert("RGB"), size))
        if pixels.dtype != np.uint8 or pixels.shape != (size, size, 3):
            raise ValueError(
                f"input_fn must return a PIL image or uint8 pixels of shape ({size}, {size}, 3), "
                f"not {pixels.dtype} of shape {pixels.shape}"
            )
        return self.model(pixels[None])[0]

    def _is_ours(self, row: np.ndarray) -> bool:
        return isinstance(self.model, Predictor) and len(row) == len(self.model.model.vocab)
