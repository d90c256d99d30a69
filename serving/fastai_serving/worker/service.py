"""Load what a worker serves, and hand it batches of requests."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fastai_serving.environment import WorkerSettings
from fastai_serving.responses import Response
from fastai_serving.user_code.hooks import Hooks
from fastai_serving.user_code.torch_models import runs_torchscript
from fastai_serving.worker.builtin_model import BuiltinModel, load_predictor
from fastai_serving.worker.request import Request
from fastai_serving.worker.script_model import ScriptModel
from fastai_serving.worker.served_model import ServedModel

logger = logging.getLogger(__name__)


def load_served_model(
    folder: Path, settings: WorkerSettings, hooks: Hooks | None = None, gpu: int | None = None, context: Any = None
) -> ServedModel:
    """Load the model of ``folder``: a script's where there are ``hooks``, TorchScript's, or the built-in one.

    Raises UserError, and whatever the script raises.
    """
    if hooks is None and not runs_torchscript(folder):
        settings.check_for_builtin()
        return BuiltinModel(load_predictor(folder, settings, gpu), settings)
    script = ScriptModel(folder, settings, hooks or Hooks(), gpu, context)
    if script.builtin and hooks and not hooks.handles_requests:
        return script.builtin  # it only gets ready what is ours
    return script


class Service:
    """One worker's model."""

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
        self.model = load_served_model(folder, settings, hooks, gpu, context)

    def respond(self, requests: Sequence[Request], busy: int | None = None) -> list[Response]:
        """Respond to each request, in their order.

        ``busy`` says how many workers work now, this one among them; None where nobody knows.
        """
        logger.debug("batch of %d", len(requests))
        if busy is not None:
            self.model.set_busy_workers(busy)
        return self.model.predict(requests)
