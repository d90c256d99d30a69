"""``make help``: every command and every variable, written from their tables."""

from __future__ import annotations

import textwrap

from fastai_local.registry import COMMANDS, Command, command
from fastai_local.settings import Settings
from fastai_local.variables import VARIABLES

TITLE = "fastai-sagemaker: train a fastai vision model and serve it, on this machine as on Amazon SageMaker."
END = "PYTHON= names another Python (3.10 or newer) to start with."
INDENT = 31
WIDTH = 118


def _wrapped(left: str, words: list[str]) -> str:
    """Return a row of the help: ``words``, none of them broken, beside ``left``."""
    hold = "\u00a0"  # textwrap breaks at plain spaces alone
    text = " ".join(word.replace(" ", hold) for word in words)
    start = f"  {left}".ljust(INDENT - 1) + " "
    wrapper = textwrap.TextWrapper(WIDTH, start, " " * INDENT, break_on_hyphens=False, break_long_words=False)
    lines = wrapper.wrap(text)
    return "\n".join(lines).replace(hold, " ")


def _row(item: Command) -> str:
    left = " ".join(filter(None, ("make", item.name, item.needs)))
    return _wrapped(left, [*item.help.split(), *(f"[{option}]" for option in item.options)])


def help_text() -> str:
    """Return the whole help."""
    rows = [_row(item) for item in COMMANDS.values()]
    variables = [_wrapped(f"{name}=", what.split()) for name, what in VARIABLES.items()]
    return "\n".join([TITLE, "", *rows, "", "Variables, as in make demo DEVICE=gpu:", "", *variables, "", END, ""])


@command("help", "", "this list")
def help_command(_: Settings) -> int:
    """Print the help."""
    print(help_text(), end="")
    return 0
