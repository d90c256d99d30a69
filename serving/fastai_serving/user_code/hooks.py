"""Load the functions of a user's script.

Their names and arguments are those of sagemaker-inference: ``pre_model_fn(model_dir)``, ``model_fn(model_dir)``,
``model_warmup_fn(model_dir, model)``, ``input_fn(data, content_type)``, ``predict_fn(data, model)``,
``output_fn(prediction, accept)``, or ``transform_fn(model, data, content_type, accept)``. Each may be a coroutine,
and may take the context too: as a parameter called ``context``, or as one more required parameter.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from types import ModuleType
from typing import Any

from fastai_container.errors import UserError
from fastai_serving.user_code.hints import explained

_PARAMETERS = {
    "pre_model_fn": 1,
    "model_fn": 1,
    "model_warmup_fn": 2,
    "input_fn": 2,
    "predict_fn": 2,
    "output_fn": 2,
    "transform_fn": 4,
}
CONTEXT = "context"
#: The most pieces that a generator may yield.
MAX_PIECES = 1_000_000
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
#: One event loop for the process: what one of a script's coroutines opens must be usable in the next one.
_loop: asyncio.AbstractEventLoop | None = None


class ScriptError(UserError):
    """A user's script that can't be used."""


def _finished(result: Any) -> Any:
    """Return the result of a coroutine, and anything else as it is."""
    global _loop
    if not inspect.isawaitable(result):
        return result
    if _loop is None:
        _loop = asyncio.new_event_loop()

    async def wait() -> Any:
        return await result

    return _loop.run_until_complete(wait())


def collected(pieces: Any) -> list[Any]:
    """Return what a generator, plain or asynchronous, yields. Raise ``ValueError`` for more than ``MAX_PIECES``."""
    result: list[Any] = []

    def take(piece: Any) -> None:
        if len(result) == MAX_PIECES:
            raise ValueError(f"a generator gave more than {MAX_PIECES:,} pieces")
        result.append(piece)

    async def collect() -> None:
        async for piece in pieces:
            take(piece)

    if hasattr(pieces, "__aiter__"):
        _finished(collect())
    else:
        for piece in pieces:
            take(piece)
    return result


@dataclass(frozen=True)
class Hook:
    """One function, and how it takes the context: "" not at all, "position" as the last argument, or "name"."""

    function: Callable[..., Any]
    wants_context: str = ""

    def __call__(self, *arguments: Any, context: Any = None) -> Any:
        """Call the function, and wait for its result if it is a coroutine. Raise what it raises."""
        if self.wants_context == "position":
            arguments = (*arguments, context)
        named = {CONTEXT: context} if self.wants_context == "name" else {}
        return _finished(self.function(*arguments, **named))


@dataclass(frozen=True)
class Hooks:
    """The script's functions, None for those that it doesn't define. ``script`` is the name of its file."""

    pre_model_fn: Hook | None = None
    model_fn: Hook | None = None
    model_warmup_fn: Hook | None = None
    input_fn: Hook | None = None
    predict_fn: Hook | None = None
    output_fn: Hook | None = None
    transform_fn: Hook | None = None
    script: str = ""

    @property
    def handles_requests(self) -> bool:
        """Whether the script takes part in handling requests, and not only in the preparation."""
        return any((self.model_fn, self.input_fn, self.predict_fn, self.output_fn, self.transform_fn))


def _no_scipy(*_: Any) -> Any:
    raise ImportError("this image has no scipy; add it to the script's requirements.txt")


def import_decoder() -> ModuleType:
    """Make ``from sagemaker_inference import decoder``, which many scripts begin with, work without scipy.

    The decoder imports scipy (143 MB) for one of its formats; our serving image has no scipy.
    """
    if importlib.util.find_spec("scipy") is not None:
        return importlib.import_module("sagemaker_inference.decoder")
    scipy, sparse = ModuleType("scipy"), ModuleType("scipy.sparse")
    vars(scipy)["sparse"] = sparse
    vars(sparse)["load_npz"] = _no_scipy
    sys.modules |= {"scipy": scipy, "scipy.sparse": sparse}
    try:
        return importlib.import_module("sagemaker_inference.decoder")
    finally:
        # Everybody else who looks for scipy must see that there is none.
        del sys.modules["scipy"], sys.modules["scipy.sparse"]


def _import(path: Path) -> ModuleType:
    folder = str(path.parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    if path.stem not in sys.modules and path.stem.isidentifier():
        return importlib.import_module(path.stem)
    # A script may share its name with an imported module; load it under another name.
    spec = importlib.util.spec_from_file_location(f"script_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # classes look up their module there
    spec.loader.exec_module(module)
    return module


def load_hooks(path: Path, packages: str | None = None) -> Hooks:
    """Load the functions of the script at ``path``; ``packages`` is the folder where its requirements were installed.

    Raise ``ScriptError``, and whatever the script raises when it is imported.
    """
    if packages and packages not in sys.path:
        sys.path.insert(0, packages)
    import_decoder()
    with explained(path.name):
        module = _import(path)
    found = {name: getattr(module, name, None) for name in _PARAMETERS}
    hooks = Hooks(
        **{
            name: Hook(function, _wants_context(path, name, function))
            for name, function in found.items()
            if function is not None
        },
        script=path.name,
    )
    if hooks.transform_fn and (hooks.input_fn or hooks.predict_fn or hooks.output_fn):
        raise ScriptError(
            f"{path.name} has transform_fn beside input_fn, predict_fn or output_fn; keep one or the other"
        )
    if not any(found.values()):
        names = ", ".join(field.name for field in fields(Hooks) if field.name in _PARAMETERS)
        raise ScriptError(f"{path.name} has none of the functions that are called here: {names}")
    return hooks


def _wants_context(path: Path, name: str, function: Any) -> str:
    """Return how a hook takes the context (see ``Hook``). Raise ``ScriptError`` if we can't call it."""
    wanted = _PARAMETERS[name]
    if not callable(function):
        raise ScriptError(f"{name} in {path.name} is no function")
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return ""  # a function written in C has no signature to look at
    parameters = list(signature.parameters.values())
    positional = [parameter for parameter in parameters if parameter.kind in _POSITIONAL]
    names = [parameter.name for parameter in positional]
    further = positional[wanted:]
    how = ""
    if further and further[0].default is inspect.Parameter.empty:
        how = "position"
    elif CONTEXT in [p.name for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY] or (
        CONTEXT in [p.name for p in further if p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    ):
        how = "name"
    elif further and further[0].name == CONTEXT:
        how = "position"
    arguments = [None] * (wanted + (how == "position"))
    try:
        signature.bind(*arguments, **({CONTEXT: None} if how == "name" else {}))
    except TypeError as error:
        raise ScriptError(
            f"{name} in {path.name} takes {_said(names, parameters)}; it is called with {wanted} "
            f"argument{'s' if wanted > 1 else ''}, or one more for the context ({error})"
        ) from None
    return how


def _said(names: list[str], parameters: list[inspect.Parameter]) -> str:
    others = [f"{p.name} by name alone" for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY]
    return (
        f"{len(names)} argument{'s' if len(names) != 1 else ''} ({', '.join([*names, *others])})"
        if (names or others)
        else "0 arguments"
    )
