from __future__ import annotations

import pytest

from fastai_local import registry as subject
from fastai_local.settings import Settings


@pytest.fixture(autouse=True)
def commands(monkeypatch: pytest.MonkeyPatch) -> dict[str, subject.Command]:
    """A registry of the test's own."""
    own: dict[str, subject.Command] = {}
    monkeypatch.setattr(subject, "COMMANDS", own)
    return own


def test_a_command_is_registered_with_what_the_help_says_of_it(commands) -> None:
    @subject.command("paint", "COLOUR=name", "paints a wall", 'TWO="of them"', "AGAIN=1")
    def paint(_: Settings) -> int:
        return 7

    found = commands["paint"]
    assert found.run(Settings()) == 7
    assert (found.name, found.needs, found.help) == ("paint", "COLOUR=name", "paints a wall")
    assert found.options == ('TWO="of them"', "AGAIN=1")


def test_two_commands_of_one_name_are_refused() -> None:
    subject.command("paint", "", "paints")(lambda _: 0)
    with pytest.raises(ValueError, match="two commands paint"):
        subject.command("paint", "", "paints too")
