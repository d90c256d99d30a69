from __future__ import annotations

from pathlib import Path

import pytest

from fastai_local.commands import checks as subject
from fastai_local.errors import LocalError
from fastai_local.native_runtime import NativeRuntime
from fastai_local.settings import Settings


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What `make test` does, noted instead of done."""
    done: list[object] = []
    monkeypatch.setattr(subject, "choose_runtime", lambda settings, **_: NativeRuntime(settings))
    monkeypatch.setattr(NativeRuntime, "require_space", lambda _, *, strict: done.append(("space", strict)))
    monkeypatch.setattr(NativeRuntime, "build", lambda _: done.append("build"))
    monkeypatch.setattr(subject, "ensure_environment", lambda *_: Path("bin/python"))
    monkeypatch.setattr(subject, "stream", lambda words, **_: done.append(words[2]) or 5)
    return done


@pytest.mark.parametrize(
    ("ci", "required", "strict"), [("", True, False), ("1", False, False), ("true", True, True), ("", False, False)]
)
def test_room_is_asked_for_before_anything_is_built(steps, monkeypatch, ci: str, required: bool, strict: bool) -> None:
    monkeypatch.setenv("CI", ci)
    assert subject.test_command(Settings(require_engine=required)) == 5
    assert steps == [("space", strict), "build", "pytest"]


def test_every_check_runs_and_those_that_fail_are_named(steps: list[object], monkeypatch) -> None:
    monkeypatch.setattr(subject, "stream", lambda words, **_: steps.append(words) or ("mypy" in words))
    with pytest.raises(LocalError, match=r"^checks failed: mypy; "):
        subject.check_command(Settings())
    assert len(steps) == 4
