"""What multi-model-server's workers call: load the model, then respond to batches of requests."""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import logging
import multiprocessing
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastai_container.errors import UserError, unreadable
from fastai_serving import logs
from fastai_serving.environment import STATE_ENV, WorkerSettings, log_level
from fastai_serving.responses import INTERNAL, MAX_MESSAGE, Response, error_response
from fastai_serving.user_code import packages, scripts
from fastai_serving.user_code.hooks import load_hooks
from fastai_serving.worker.malloc_trim import Trimmer
from fastai_serving.worker.request import Request
from fastai_serving.worker.service import Service
from fastai_serving.worker.wire import phrase, sendable

logger = logging.getLogger(__name__)

#: The plug-in looks for it: a response without it is multi-model-server's own.
MARK = "x-fastai-worker"
#: The client's Content-Type, which the plug-in keeps from multi-model-server.
CONTENT_TYPE = "x-fastai-content-type"
#: How many workers had something to do when the plug-in gave this one its batch.
BUSY = "x-fastai-busy"
#: Let the kernel's OOM killer pick a worker before the front end, which then says 507 and starts another.
#: proc(5): https://man7.org/linux/man-pages/man5/proc_pid_oom_score_adj.5.html
_OOM_SCORE = "500"
_COUNT = re.compile(r"[0-9]{1,4}")

_service: Service | None = None
_trimmer = Trimmer()


def _body(parameters: Mapping[str, Any]) -> bytes:
    """The request's body; without the plug-in a form arrives as its fields."""
    found = next((parameters[name] for name in ("body", "data", *parameters) if name in parameters), b"")
    return found.encode() if isinstance(found, str) else bytes(found)


def _clean_path(folder: Path) -> None:
    """Take the model folder, which multi-model-server puts first, from the path: no file in it stands for a module."""
    unwanted = {folder.resolve(), Path.cwd().resolve()}
    sys.path[:] = [entry for entry in sys.path if entry and Path(entry).resolve() not in unwanted]


def load(context: Any) -> Service:
    """Load the service for the model of ``context``. Raises UserError, or whatever a user's script raises."""
    folder = Path(context.system_properties["model_dir"])
    _clean_path(folder)
    script, installed = scripts.of_worker(folder)
    for sentence in packages.late(installed) if installed else ():
        logger.warning("%s", sentence)
    hooks = load_hooks(script, str(installed) if installed else None) if script else None
    gpu = context.system_properties.get("gpu_id")
    return Service(folder, WorkerSettings.from_environment(), hooks=hooks, gpu=gpu, context=context)


def _report(name: str, error: BaseException) -> None:
    """Leave the reason where the supervisor (one model) or the plug-in (many) looks for it."""
    if isinstance(error, UserError):
        reason = str(error)
    elif isinstance(error, PermissionError) and error.filename is not None and not os.access(error.filename, os.R_OK):
        reason = unreadable(str(error.filename))
    else:
        try:
            told = str(error)
        except Exception:  # a script's own exception
            told = "(its text can't be had)"
        reason = f"the model could not be loaded: {type(error).__name__}: {told}"
        logger.error("the model could not be loaded", exc_info=error)
    if len(reason) > 2 * MAX_MESSAGE:
        reason = f"{reason[:MAX_MESSAGE]} … {reason[-MAX_MESSAGE:]}"
    state = os.environ.get(STATE_ENV)
    if state:
        partial = Path(state, f".load-failure-{name}-{os.getpid()}")
        partial.write_text(reason, encoding="utf-8", errors="backslashreplace")
        partial.replace(Path(state, f"load-failure-{name}"))


def _first_to_end() -> None:
    with contextlib.suppress(OSError):  # a container may forbid it
        Path("/proc/self/oom_score_adj").write_text(_OOM_SCORE, encoding="ascii")


def _load_or_end(context: Any) -> Service:
    # The process that workers are forked from: ending it would free nothing that they hold.
    parent = multiprocessing.parent_process() is None
    if parent:
        os.register_at_fork(after_in_child=_first_to_end)
    else:
        _first_to_end()
    logs.configure_worker(log_level())
    faulthandler.enable()  # the log then says where in a user's script or a library a fatal signal came from
    try:
        service = load(context)
        if parent:
            gc.collect()
            gc.freeze()  # in a worker the collector would write to every page that they share
        return service
    except MemoryError:
        _report(context.model_name, UserError("there was not enough memory to load the model"))
        raise  # multi-model-server reports it as 507
    except BaseException as error:  # a script's sys.exit() too
        _report(context.model_name, error)
        logging.shutdown()
        # Not an exception: multi-model-server would add a traceback of its own to the log.
        os._exit(1)


def handle(data: list[Mapping[str, Any]] | None, context: Any) -> list[bytes]:
    """Load the model when called with no data, as multi-model-server first does; then respond to a list of requests."""
    global _service
    if _service is None:
        _service = _load_or_end(context)
    if data is None:
        return []
    settings = _service.settings
    requests, busy = _requests(data, context, settings.default_accept)
    bodies = []
    size = sum(len(request.body) for request in requests)
    for index, (request, made) in enumerate(zip(requests, _responses(_service, requests, busy), strict=True)):
        response = sendable(made, request.accept, settings.default_accept, settings.max_response_bytes)
        context.set_response_content_type(index, response.content_type)
        context.set_response_status(response.status, phrase(response.status), index)
        context.set_response_header(index, MARK, "1")
        for name, value in response.headers.items():
            context.set_response_header(index, name, value)
        bodies.append(response.body)
    _trimmer.note(size + sum(map(len, bodies)))
    # Else multi-model-server prints them for each batch, and the front end reads the lines and drops them.
    context.metrics = None
    return bodies


def _requests(data: list[Mapping[str, Any]], context: Any, default_accept: str) -> tuple[list[Request], int | None]:
    """The requests of a batch, and how many workers had something to do when it was given; None where nobody says."""
    requests: list[Request] = []
    busy: int | None = None
    for index, parameters in enumerate(data):
        headers: dict[str, str] = {}
        for name, value in context.get_all_request_header(index).items():
            if isinstance(value, str):
                headers[name.lower()] = value
        told = headers.pop(BUSY, "")
        busy = int(told) if _COUNT.fullmatch(told) else busy
        content_type = headers.pop(CONTENT_TYPE, headers.get("content-type", ""))
        accept = headers.get("accept", "")
        requests.append(Request(headers, _body(parameters), content_type, accept, default_accept))
    return requests, busy


def _responses(service: Service, requests: list[Request], busy: int | None) -> list[Response]:
    """A response to each request, whatever happens: multi-model-server's own for an exception is an error for all."""
    try:
        responses = service.respond(requests, busy)
        if len(responses) != len(requests):
            raise RuntimeError(f"{len(responses)} answers to {len(requests)} requests")
    except MemoryError:
        raise  # multi-model-server reports it as 507
    except Exception as error:
        logger.error("the batch failed", exc_info=error)
        return [error_response(INTERNAL) for _ in requests]
    return responses
