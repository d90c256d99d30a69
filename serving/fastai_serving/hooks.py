"""The functions of a user's script and ours in place of those it lacks.

Their names and arguments are those of sagemaker-inference: ``pre_model_fn(model_dir)``, ``model_fn(model_dir)``,
``model_warmup_fn(model_dir, model)``, ``input_fn(data, content_type)``, ``predict_fn(data, model)``,
``output_fn(prediction, accept)``, or ``transform_fn(model, data, content_type, accept)``; each may take the context as
one argument more.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import inspect
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from types import ModuleType
from typing import Any

from fastai_container.errors import UserError
from fastai_serving.answers import MAX_MESSAGE, Answer, RequestError, media_type

#: sagemaker-inference gives the bodies of these types as text.
_TEXT_TYPES = frozenset({"application/json", "text/csv"})
_PARAMETERS = {
    "pre_model_fn": 1,
    "model_fn": 1,
    "model_warmup_fn": 2,
    "input_fn": 2,
    "predict_fn": 2,
    "output_fn": 2,
    "transform_fn": 4,
}


class ScriptError(UserError):
    """A user's script that can't be used."""


@dataclass(frozen=True)
class Hooks:
    """The script's functions; None where it has none."""

    pre_model_fn: Callable[..., Any] | None = None
    model_fn: Callable[..., Any] | None = None
    model_warmup_fn: Callable[..., Any] | None = None
    input_fn: Callable[..., Any] | None = None
    predict_fn: Callable[..., Any] | None = None
    output_fn: Callable[..., Any] | None = None
    transform_fn: Callable[..., Any] | None = None


def _no_scipy(*_: Any) -> Any:
    raise ImportError("this image has no scipy; add it to the script's requirements.txt")


def _import_decoder() -> None:
    """Make ``from sagemaker_inference import decoder``, which many scripts begin with, work without scipy.

    It imports scipy (143 MB) for one format that it decodes; our serving image has none.
    """
    if importlib.util.find_spec("scipy") is not None:
        return
    scipy, sparse = ModuleType("scipy"), ModuleType("scipy.sparse")
    vars(scipy)["sparse"] = sparse
    vars(sparse)["load_npz"] = _no_scipy
    sys.modules |= {"scipy": scipy, "scipy.sparse": sparse}
    try:
        importlib.import_module("sagemaker_inference.decoder")
    finally:
        # Anything else that looks for scipy shall see that there is none.
        del sys.modules["scipy"], sys.modules["scipy.sparse"]


def _import(path: Path) -> ModuleType:
    folder = str(path.parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    if path.stem not in sys.modules:
        return importlib.import_module(path.stem)
    # A script called as a module that is in use must not be taken for it, nor take its place.
    spec = importlib.util.spec_from_file_location(f"script_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def load_hooks(path: Path, packages: str | None = None) -> Hooks:
    """The functions of the script at ``path``; ``packages`` is where what it requires was installed.

    Raises ScriptError, and whatever the script raises when it is imported.
    """
    if packages:
        sys.path.insert(0, packages)
    _import_decoder()
    module = _import(path)
    found = {field.name: getattr(module, field.name, None) for field in fields(Hooks)}
    hooks = Hooks(**found)
    if hooks.transform_fn and (hooks.input_fn or hooks.predict_fn or hooks.output_fn):
        raise ScriptError(
            f"{path.name} has transform_fn beside input_fn, predict_fn or output_fn; keep one or the other"
        )
    for name, function in found.items():
        if function is not None:
            _check(path, name, function)
    return hooks


def _check(path: Path, name: str, function: Any) -> None:
    wanted = _PARAMETERS[name]
    if not callable(function):
        raise ScriptError(f"{name} in {path.name} is no function")
    try:
        count = len(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return
    if count not in (wanted, wanted + 1):
        raise ScriptError(
            f"{name} in {path.name} takes {count} arguments; it is given {wanted}, or one more for the context"
        )


def call(function: Callable[..., Any], arguments: tuple[Any, ...], context: Any) -> Any:
    """Call a hook, with the context when it has a parameter for it."""
    if len(inspect.signature(function).parameters) > len(arguments):
        return function(*arguments, context)
    return function(*arguments)


def body_for_script(body: bytes, content_type: str) -> bytes | str:
    """A body as sagemaker-inference gives it. Raises RequestError 400 for text that is no UTF-8."""
    if media_type(content_type)[0] not in _TEXT_TYPES:
        return body
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        raise RequestError(400, "bad_text", "the body is not UTF-8") from None


def error_of_script(error: BaseException) -> RequestError:
    """What a client is told: an exception that carries an HTTP status keeps it, any other is 500 with its message.

    The exception is the script's own, so anything may be in its attributes, and asking for them may raise.
    """
    message = ""
    for words in (lambda: getattr(error, "message", ""), lambda: error):
        with contextlib.suppress(BaseException):
            message = message or str(words() or "")[:MAX_MESSAGE].strip()
    status: Any = None
    with contextlib.suppress(BaseException):
        status = getattr(error, "status_code", getattr(error, "status", None))
    if not isinstance(status, int) or isinstance(status, bool) or not 400 <= status <= 599:
        status = 500
    return RequestError(int(status), "script_error", message or type(error).__name__)


def _plain(value: Any) -> Any:
    """What json can't write: arrays and tensors, NumPy's numbers, paths."""
    for method in ("tolist", "item"):
        if hasattr(value, method):
            return getattr(value, method)()
    return str(value)


def answer_from_script(result: Any, accept: str) -> Answer:
    """The answer for what output_fn or transform_fn returned: a body, or (body, content type)."""
    kind = accept
    if isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], str):
        result, kind = result
    if isinstance(result, bytes | bytearray | memoryview):
        return Answer(bytes(result), kind)
    if isinstance(result, str):
        return Answer(result.encode(), kind)
    return Answer(json.dumps(result, default=_plain, ensure_ascii=False).encode(), kind)
