"""The registry of commands: what each target of the Makefile runs, and its lines in ``make help``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fastai_local.settings import Settings

Run = Callable[[Settings], int]


@dataclass(frozen=True)
class Command:
    """One command: ``make NAME``. ``needs`` are the variables that must be given, ``options`` those that may be."""

    name: str
    needs: str
    help: str
    options: tuple[str, ...]
    run: Run


#: Every command by its name, in the order of the help.
COMMANDS: dict[str, Command] = {}


def command(name: str, needs: str, help_text: str, *options: str) -> Callable[[Run], Run]:
    """Register a function as the command ``name``, with what ``make help`` says about it."""

    if name in COMMANDS:
        raise ValueError(f"there are two commands {name}")

    def register(run: Run) -> Run:
        COMMANDS[name] = Command(name, needs, help_text, options, run)
        return run

    return register
