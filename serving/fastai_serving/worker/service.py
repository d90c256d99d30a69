"""One worker's model: a batch of requests in, an answer for each out; one's error is not another's."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fastai_serving.environment import WorkerSettings
from fastai_serving.responses import INTERNAL, Answer, RequestError, error_answer
from fastai_serving.user_code.hooks import Hooks
from fastai_serving.user_code.script_model import ScriptModel
from fastai_serving.user_code.torch_models import runs_torchscript
from fastai_serving.worker.builtin_model import Builtin, Picture, load_predictor
from fastai_serving.worker.request import CUSTOM_ATTRIBUTES, REQUEST_ID, Request, log_failure

__all__ = ["CUSTOM_ATTRIBUTES", "REQUEST_ID", "Request", "Service"]

logger = logging.getLogger(__name__)

_OUT_OF_MEMORY = RequestError(
    507, "out_of_memory", "there was not enough memory for this request; send a smaller picture"
)


class Service:
    """Answers with the built-in program, or with a user's script where there is one."""

    def __init__(
        self,
        folder: Path,
        settings: WorkerSettings,
        *,
        hooks: Hooks | None = None,
        gpu: int | None = None,
        context: Any = None,
    ) -> None:
        self.settings = settings
        if hooks is None and not runs_torchscript(folder):
            settings.check_for_builtin()
        self.script: ScriptModel | None = None
        self.builtin: Builtin | None = None
        if hooks is not None or runs_torchscript(folder):
            self.script = ScriptModel(folder, settings, hooks or Hooks(), gpu, context)
            if self.script.builtin and hooks and not hooks.answers_itself:
                self.builtin, self.script = self.script.builtin, None  # it only gets ready what is ours
        else:
            self.builtin = Builtin(load_predictor(folder, settings, gpu), settings)

    def answer(self, requests: Sequence[Request], busy: int | None = None) -> list[Answer]:
        """An answer for each request, in their order. ``busy``: how many workers work now, this one among them; None
        where nobody knows.
        """
        logger.debug("batch of %d", len(requests))
        ours = self.script.builtin if self.script else self.builtin
        if busy is not None and ours:
            ours.predictor.runtime.share(busy)
        if self.script:
            return [self._guarded(request, self.script.answer) for request in requests]
        return self._answer_batch(requests)

    def _answer_batch(self, requests: Sequence[Request]) -> list[Answer]:
        """All requests by one forward pass of the built-in program."""
        builtin = self.builtin
        assert builtin is not None
        answers: dict[int, Answer] = {}
        good: list[tuple[int, Request, Picture]] = []
        for index, request in enumerate(requests):
            try:
                good.append((index, request, builtin.read(request)))
            except Exception as error:  # each request's error is its own
                answers[index] = self._error(request, error)
        if good:
            rows = builtin.predict([picture for _, _, picture in good])
            for (index, request, picture), row in zip(good, rows, strict=True):
                if isinstance(row, Exception):
                    answers[index] = self._error(request, row)
                else:
                    answers[index] = self._guarded(request, builtin.write, picture, row)
        return [answers[index] for index in range(len(requests))]

    def _guarded(self, request: Request, work: Callable[..., Answer], *arguments: Any) -> Answer:
        try:
            return work(request, *arguments)
        except Exception as error:
            return self._error(request, error)

    def _error(self, request: Request, error: Exception) -> Answer:
        if isinstance(error, RequestError):
            return error_answer(error)
        if isinstance(error, MemoryError):
            return error_answer(_OUT_OF_MEMORY)
        log_failure(request, error)
        return error_answer(INTERNAL)
