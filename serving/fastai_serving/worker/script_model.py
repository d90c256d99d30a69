"""A model with a user's script: the script's functions, and ours in place of those it lacks."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fastai_container.errors import ModelFolderError
from fastai_container.model_folder import MANIFEST, read_manifest
from fastai_container.pictures import center_square
from fastai_serving.environment import WorkerSettings
from fastai_serving.errors import ErrorCode
from fastai_serving.response_formats import Prediction, encode
from fastai_serving.responses import CSV, JSON, RequestError, Response
from fastai_serving.user_code import torch_models
from fastai_serving.user_code.decoders import ARRAY_TYPES, NPY, TEXT_TYPES, body_for_script, decode
from fastai_serving.user_code.hints import explained
from fastai_serving.user_code.hooks import Hook, Hooks, ScriptError
from fastai_serving.user_code.script_responses import error_of_script, response_from_body, response_from_prediction
from fastai_serving.worker.builtin_model import BuiltinModel, Picture, Predictor, load_predictor, read_picture
from fastai_serving.worker.request import Request, log_failure
from fastai_serving.worker.served_model import guarded


class ScriptModel:
    """Respond to one request after the other by the hooks of a script.

    The model may be ours (a Predictor), a fastai Learner, a torch module, or anything else that the script knows how
    to use.
    """

    def __init__(
        self, folder: Path, settings: WorkerSettings, hooks: Hooks, gpu: int | None = None, context: Any = None
    ) -> None:
        """Load the model. Raises UserError, and whatever the script raises."""
        self.folder, self.settings, self.hooks, self.context = folder, settings, hooks, context
        with explained(hooks.script):
            if hooks.pre_model_fn:
                hooks.pre_model_fn(str(folder), context=context)
            self.model: Any = self._load(gpu)
            self._prepare(gpu)
            if hooks.model_warmup_fn:
                hooks.model_warmup_fn(str(folder), self.model, context=context)

    def _load(self, gpu: int | None) -> Any:
        if self.hooks.model_fn:
            return self.hooks.model_fn(str(self.folder), context=self.context)
        if torch_models.runs_torchscript(self.folder):
            return torch_models.load_torchscript(self.folder)
        if self.hooks.script and not (self.folder / MANIFEST).exists():
            raise ScriptError(
                f"{self.hooks.script} has no model_fn, and without {MANIFEST} in {self.folder} there is no model of "
                "ours to use in its place; add model_fn"
            )
        return load_predictor(self.folder, self.settings, gpu)

    def _prepare(self, gpu: int | None) -> None:
        """How a model is run where the script has no predict_fn, and how large the pictures are that it is given."""
        hooks, model = self.hooks, self.model
        self.builtin = BuiltinModel(model, self.settings) if isinstance(model, Predictor) else None
        self.module: torch_models.TorchModule | None = None
        self.is_learner = torch_models.is_learner(model)
        self.side = model.model.image_size if self.builtin else None
        if not (self.builtin or self.is_learner or hooks.input_fn or hooks.transform_fn):
            with contextlib.suppress(ModelFolderError):  # none of ours: others call a file model.json too
                self.side = read_manifest(self.folder).image_size
        if hooks.predict_fn or hooks.transform_fn or self.builtin or self.is_learner:
            return
        if not callable(model):
            raise ScriptError(
                f"model_fn in {hooks.script} returns something that can't be called ({type(model).__name__}); "
                "the script needs predict_fn or transform_fn too"
            )
        if torch_models.is_module(model):
            self.module = torch_models.TorchModule(model, gpu)

    def set_busy_workers(self, busy: int) -> None:
        if self.builtin:
            self.builtin.set_busy_workers(busy)

    def predict(self, requests: Sequence[Request]) -> list[Response]:
        return [guarded(request, partial(self.respond, request)) for request in requests]

    def respond(self, request: Request) -> Response:
        """Raises RequestError, MemoryError, and what is our own fault."""
        hooks, default = self.hooks, request.default_accept
        accept = request.accept if request.accept.strip() not in ("", "*/*") else default
        if hooks.transform_fn:
            body = body_for_script(request.body, request.content_type)
            result = self._run(request, hooks.transform_fn, self.model, body, request.content_type, accept)
            return self._guarded(request, response_from_body, result, accept, default)
        data, picture = self._input(request)
        if hooks.predict_fn:
            result = self._run(request, hooks.predict_fn, data, self.model)
        else:
            result = self._guarded(request, self._predict, data)
        if hooks.output_fn:
            made = self._run(request, hooks.output_fn, result, accept)
            return self._guarded(request, response_from_body, made, accept, default)
        if self.builtin and self._is_row(result):
            return self.builtin.write(request, picture, result)
        if self.is_learner and not hooks.predict_fn:
            return self._learner_response(request, result)
        return self._guarded(request, response_from_prediction, result, accept, default)

    def _run(self, request: Request, hook: Hook, *arguments: Any) -> Any:
        return self._guarded(request, hook, *arguments, context=self.context)

    def _guarded(self, request: Request, work: Any, *arguments: Any, **named: Any) -> Any:
        """What ``work``, the script's own or on what it returned, comes to; its errors as the script's.

        A script may raise what ends a program (sys.exit): the worker must outlive it.
        """
        try:
            return work(*arguments, **named)
        except MemoryError:
            raise
        except RequestError as error:
            if error.status == 500:
                log_failure(request, error)
            raise
        except BaseException as error:
            told = error_of_script(error, self.hooks.script)
            if told.status == 500:
                log_failure(request, error)  # the client gets the message alone
            raise told from None

    def _input(self, request: Request) -> tuple[Any, Picture | None]:
        """What the model is given, and the picture where it is one that we read."""
        hooks = self.hooks
        kind = request.media_type
        if hooks.input_fn:
            body = body_for_script(request.body, request.content_type)
            return self._run(request, hooks.input_fn, body, request.content_type), None
        # Our own program takes pictures, and a learner that nobody else calls too.
        pictures_alone = not hooks.predict_fn and (self.builtin or self.is_learner)
        if kind in ARRAY_TYPES and not pictures_alone:
            data = decode(request.body, request.content_type)
            return (self.module.tensor(data, text=kind in TEXT_TYPES) if self.module else data), None
        if self.builtin and not hooks.output_fn and (not hooks.predict_fn or self._draws_picture(request)):
            picture = self.builtin.read(request)
            return picture.pixels, picture
        self._check_type(request, pictures_alone=bool(pictures_alone))
        image = read_picture(request, self.side, self.settings)
        if self.is_learner:
            # fastai opens it as the learner's training did (its mode, no turning); a predict_fn is given the picture.
            return (torch_models.fastai_picture(image) if hooks.predict_fn else request.body), None
        pixels = np.asarray(center_square(image, self.side) if self.side else image)
        return pixels, Picture(pixels)

    def _draws_picture(self, request: Request) -> bool:
        try:
            return request.response_format.needs_picture
        except RequestError:
            return False  # what predict_fn returns may be answered in other formats

    def _check_type(self, request: Request, *, pictures_alone: bool) -> None:
        """Raises RequestError 415 for a body that nothing here can read."""
        arrays = f"an array as {JSON}, {CSV} or {NPY}"
        if self.module:
            raise RequestError(
                ErrorCode.UNSUPPORTED_MEDIA_TYPE,
                f"Content-Type {request.content_type!r} is not supported: the model's script has no input_fn, so it "
                f"takes {arrays}",
            )
        try:
            request.check_is_picture()
        except RequestError as error:
            if pictures_alone:
                raise
            raise RequestError(error.code, f"{error}, or {arrays}", error.status) from None

    def _predict(self, data: Any) -> Any:
        """Our predict_fn."""
        if self.is_learner:
            return torch_models.predict_with_learner(self.model, data)
        if self.module:
            return self.module(data)
        if self.builtin is None:
            return self.model(data)
        # A batch of one for our own program.
        pixels = np.asarray(data)
        size = self.builtin.predictor.model.image_size
        if isinstance(data, Image.Image):
            pixels = np.asarray(center_square(data.convert("RGB"), size))
        if pixels.dtype != np.uint8 or pixels.shape != (size, size, 3):
            raise ValueError(
                f"input_fn must return a PIL image or uint8 pixels of shape ({size}, {size}, 3), "
                f"not {pixels.dtype} of shape {pixels.shape}"
            )
        return self.builtin.predictor(pixels[None])[0]

    def _is_row(self, result: Any) -> bool:
        """Whether ``result`` is a row of our model's probabilities."""
        assert self.builtin is not None
        row = (len(self.builtin.predictor.model.vocab),)
        return isinstance(result, np.ndarray) and result.shape == row and result.dtype.kind == "f"

    def _learner_response(self, request: Request, result: tuple[Any, Any, Any]) -> Response:
        content, ours = torch_models.learner_content(self.model, result, request.top_k)
        default = request.default_accept
        if not ours:
            return self._guarded(request, response_from_prediction, content, request.accept, default)
        return encode(Prediction(content), request.response_format)
