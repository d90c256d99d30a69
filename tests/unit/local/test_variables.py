from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from fastai_local.settings import Settings
from fastai_local.variables import VARIABLES

ROOT = Path(__file__).resolve().parents[3]


class Noting(Mapping[str, str]):
    """An environment without anything, which notes what is asked of it."""

    def __init__(self) -> None:
        self.asked: set[str] = set()

    def __getitem__(self, name: str) -> str:
        self.asked.add(name)
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def test_every_variable_that_is_read_is_in_the_table() -> None:
    env = Noting()
    Settings.from_environment(env, Path("/somewhere"))
    assert {"DATA", "PICTURE", "REQUIRE_ENGINE"} <= env.asked
    assert env.asked <= set(VARIABLES)


def test_every_variable_that_documents_give_to_make_is_in_the_table() -> None:
    text = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")))
    calls = re.findall(r"\bmake [a-z-]+ [A-Z_]+=[^\n`]*", text)
    given = {name for call in calls for name in re.findall(r"(?<![\w])([A-Z_]+)=", call)}
    assert {"DATA", "PICTURE", "MODEL"} <= given
    assert given <= set(VARIABLES)
