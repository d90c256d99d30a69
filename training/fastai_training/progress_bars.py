"""No progress bars where there is no terminal: in a job's log each state of a bar would be a line.

fastai's bars are fastprogress's, which draws them whatever standard output is (and has no setting for it but a module's
variable). torch calls ``register`` when it is imported (entry point group ``torch.backends``), which a script does
before it draws a bar, so a user's script needs no change. The lines of metrics are no bars: they stay.
"""

from __future__ import annotations

import contextlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

_MODULE = "fastprogress.fastprogress"


def hide_bars(fastprogress: Any) -> None:
    """Draw no bar from now on; ``fastprogress`` is the module of that name, of any version."""
    with contextlib.suppress(AttributeError):
        fastprogress.NO_BAR = True
        bar = fastprogress.ConsoleProgressBar
        original = bar.__init__

        def init(self: Any, *arguments: Any, **options: Any) -> None:
            # It tries whether a bar's character can be printed, by printing it.
            with contextlib.redirect_stdout(None):
                original(self, *arguments, **options)

        bar.__init__ = init


class _Loader(importlib.abc.Loader):
    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        module: ModuleType | None = self._loader.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        hide_bars(module)


class _Finder(importlib.abc.MetaPathFinder):
    """Waits for the import of fastprogress: importing it here would take longer than torch's hooks should."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != _MODULE:
            return None
        sys.meta_path.remove(self)
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader)
        return spec


def register() -> None:
    """Hide the bars of this process unless its standard output is a terminal."""
    with contextlib.suppress(AttributeError, ValueError):  # no standard output, or a closed one
        if sys.stdout.isatty():
            return
    if _MODULE in sys.modules:
        hide_bars(sys.modules[_MODULE])
    elif not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
