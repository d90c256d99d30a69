"""The README's code blocks, as the tests run them."""

from __future__ import annotations

import re

from tests.conftest import ROOT

#: Lines that a test of their own stands for.
ELSEWHERE = {
    "make test": "is what runs this",
    "./build_and_push.sh": "tests/push, against a registry",
}


def blocks(language: str) -> list[str]:
    """The fenced blocks of one language, in the README's order."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    """Every line of the README's shell blocks but those of ELSEWHERE."""
    lines = [line for block in blocks("sh") for line in block.splitlines() if line.strip()]
    for start in ELSEWHERE:
        assert any(line.startswith(start) for line in lines), f"{start} is not in the README any more"
    return [line for line in lines if not line.startswith(tuple(ELSEWHERE))]
