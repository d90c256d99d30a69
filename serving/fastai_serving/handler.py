"""The handler that multi-model-server's workers call: a batch of requests in, an answer for each out."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

import numpy as np

from fastai_container.model_folder import read_model
from fastai_container.pictures import PictureError, model_input
from fastai_serving.answers import (
    Answer,
    RequestError,
    check_content_type,
    choose_format,
    encode,
    error_answer,
    prediction,
    top_k,
)
from fastai_serving.runtime import CpuRuntime
from fastai_serving.settings import WorkerSettings

logger = logging.getLogger(__name__)

CUSTOM_ATTRIBUTES = "x-amzn-sagemaker-custom-attributes"


def _body(parameters: Mapping[str, Any]) -> bytes:
    """The request's body: MMS calls it body, or by a form's field names."""
    for name in ("body", "data"):
        if name in parameters:
            return bytes(parameters[name])
    return bytes(next(iter(parameters.values()), b""))


class Service:
    """One worker's model: decodes each picture of a batch, runs the good ones at once, answers each by itself."""

    def __init__(self, folder: Path, settings: WorkerSettings) -> None:
        self.model = read_model(folder)
        self.settings = settings
        self.runtime = CpuRuntime(folder, self.model, settings.threads)

    def _read(self, headers: Mapping[str, str], parameters: Mapping[str, Any]) -> tuple[np.ndarray, str, int]:
        check_content_type(headers.get("content-type", ""))
        kind = choose_format(headers.get("accept", ""), self.settings.default_accept)
        count = top_k(headers.get(CUSTOM_ATTRIBUTES, ""), len(self.model.vocab))
        body = _body(parameters)
        if not body:
            raise RequestError(400, "empty_body", "the request has no body; send one picture")
        try:
            return model_input(body, self.model.image_size), kind, count
        except PictureError as error:
            raise RequestError(400, error.code, str(error)) from None

    def answer(self, requests: list[tuple[Mapping[str, str], Mapping[str, Any]]]) -> list[Answer]:
        """An answer for each (headers with lower-case names, parameters); one's error is not another's."""
        answers: dict[int, Answer] = {}
        good: list[tuple[int, np.ndarray, str, int]] = []
        for index, (headers, parameters) in enumerate(requests):
            try:
                good.append((index, *self._read(headers, parameters)))
            except RequestError as error:
                answers[index] = error_answer(error)
            except MemoryError:
                answers[index] = error_answer(RequestError(507, "out_of_memory", "not enough memory for this picture"))
            except Exception:
                logger.exception("request failed")
                answers[index] = error_answer(RequestError(500, "internal_error", "the picture could not be processed"))
        if good:
            rows = self.runtime.predict(np.stack([picture for _, picture, _, _ in good]))
            for (index, _, kind, count), row in zip(good, rows, strict=True):
                answers[index] = encode(prediction(row, self.model.vocab, count), kind)
        return [answers[index] for index in range(len(requests))]


_service: Service | None = None


def handle(data: list[Mapping[str, Any]] | None, context: Any) -> list[bytes]:
    """MMS's entry point: called with no data to load the model, then with a list of requests."""
    global _service
    if _service is None:
        _service = Service(Path(context.system_properties["model_dir"]), WorkerSettings.from_environment())
    if data is None:
        return []
    requests = []
    for index, parameters in enumerate(data):
        headers: dict[str, str] = {}
        for name, value in context.get_all_request_header(index).items():
            if isinstance(value, str):
                headers[name.lower()] = value
        requests.append((headers, parameters))
    answers = _service.answer(requests)
    for index, answer in enumerate(answers):
        context.set_response_content_type(index, answer.content_type)
        context.set_response_status(answer.status, HTTPStatus(answer.status).phrase, index)
        for name, value in answer.headers.items():
            context.set_response_header(index, name, value)
    return [answer.body for answer in answers]
