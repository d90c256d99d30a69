from __future__ import annotations

import pytest

from fastai_local import registry as subject
from fastai_local.commands import help as help_module
from fastai_local.settings import Settings


@pytest.fixture(autouse=True)
def commands(monkeypatch: pytest.MonkeyPatch) -> dict[str, subject.Command]:
    """A registry of the test's own."""
    own: dict[str, subject.Command] = {}
    monkeypatch.setattr(subject, "COMMANDS", own)
    monkeypatch.setattr(help_module, "COMMANDS", own)
    return own


def test_a_command_is_registered_with_its_lines_of_help(commands) -> None:
    @subject.command("paint", "COLOUR=name", "paints " + "a wall " * 12, 'TWO="of them"', "AGAIN=1")
    def paint(_: Settings) -> int:
        return 7

    assert commands["paint"].run(Settings()) == 7
    lines = [line for line in help_module.help_text().splitlines() if "paint" in line or "AGAIN" in line]
    assert lines[0].startswith("  make paint COLOUR=name       paints a wall a wall")
    assert lines[1].startswith(" " * 31)
    assert lines[1].endswith('[TWO="of them"] [AGAIN=1]')


def test_two_commands_of_one_name_are_refused() -> None:
    subject.command("paint", "", "paints")(lambda _: 0)
    with pytest.raises(ValueError, match="two commands paint"):
        subject.command("paint", "", "paints too")
