"""The command line: ``python3 -m fastai_local COMMAND``, which every target of the Makefile runs."""

from __future__ import annotations

import difflib
import importlib
import os
from collections.abc import Sequence
from pathlib import Path

from fastai_local.commands import MODULES
from fastai_local.errors import UsageError, exit_code_of
from fastai_local.registry import COMMANDS
from fastai_local.settings import Settings


def load_commands() -> None:
    """Import the modules of commands, which registers them in the order of the help."""
    for module in MODULES:
        importlib.import_module(f"fastai_local.commands.{module}")


def main(arguments: Sequence[str]) -> int:
    """Run one command; return the exit code."""
    load_commands()
    return exit_code_of(lambda: _run(arguments))


def _run(arguments: Sequence[str]) -> int:
    if len(arguments) != 1:
        raise UsageError(f"name one of {', '.join(COMMANDS)}")
    name = arguments[0]
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise UsageError(f"there is no command {name!r}; {hint}name one of {', '.join(COMMANDS)}")
    # A mistyped variable must not keep anybody from the help.
    settings = Settings() if name == "help" else Settings.from_environment(os.environ, Path.cwd())
    return COMMANDS[name].run(settings)
