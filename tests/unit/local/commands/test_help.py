from __future__ import annotations

import pytest

from fastai_local import registry
from fastai_local.cli import load_commands
from fastai_local.commands import help as subject
from fastai_local.settings import Settings
from fastai_local.variables import VARIABLES


def test_the_lines_of_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    options = ('TWO="of them"', "AGAIN=1")
    paint = registry.Command("paint", "COLOUR=name", "paints " + "a wall " * 12, options, lambda _: 0)
    monkeypatch.setattr(subject, "COMMANDS", {"paint": paint})
    lines = [line for line in subject.help_text().splitlines() if "paint" in line or "AGAIN" in line]
    assert lines[0].startswith("  make paint COLOUR=name       paints a wall a wall")
    assert lines[1].startswith(" " * 31)
    assert lines[1].endswith('[TWO="of them"] [AGAIN=1]'), "an option is never broken"


def test_the_help_has_every_command_and_every_variable_once(capsys: pytest.CaptureFixture[str]) -> None:
    load_commands()
    assert subject.help_command(Settings()) == 0
    lines = capsys.readouterr().out.splitlines()
    begins = [line.split()[:2] for line in lines if line.startswith("  ") and not line.startswith(" " * 31)]
    commands = [words[1] for words in begins if words[0] == "make"]
    variables = [words[0].removesuffix("=") for words in begins if words[0] != "make"]
    assert commands == list(registry.COMMANDS)
    assert variables == list(VARIABLES)


def test_the_help_fits_a_terminal() -> None:
    load_commands()
    text = subject.help_text()
    assert max(map(len, text.splitlines())) <= subject.WIDTH
    assert "\u00a0" not in text, "what is pasted into a shell holds plain spaces"
