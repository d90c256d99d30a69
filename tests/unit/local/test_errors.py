from __future__ import annotations

import signal

import pytest

from fastai_local import errors as subject


@pytest.fixture(autouse=True)
def _handlers():
    """Leaves the signals' handlers as they were."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def ends_with(error: BaseException) -> int:
    def command() -> int:
        raise error

    return subject.exit_code_of(command)


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (subject.LocalError("no room"), 1, "error: no room\n"),
        (subject.LocalError("the job failed", exit_code=137), 137, "error: the job failed\n"),
        (subject.UsageError("DATA is missing"), 2, "error: DATA is missing\n"),
        (subject.EngineUnavailableError("no engine"), 1, "error: no engine\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
        (subject.Terminated(signal.SIGTERM), 143, ""),
        (PermissionError(13, "Permission denied", "/x"), 1, "error: /x: Permission denied\n"),
    ],
)
def test_what_ends_a_command_is_a_line_and_a_code(error: BaseException, code: int, said: str, capsys) -> None:
    assert ends_with(error) == code
    assert capsys.readouterr().err == said


def test_a_commands_own_code_stays() -> None:
    assert subject.exit_code_of(lambda: 5) == 5


def test_sigterm_is_raised_where_it_finds_the_command() -> None:
    def command() -> int:
        signal.raise_signal(signal.SIGTERM)
        return 0

    assert subject.exit_code_of(command) == 143


def test_a_defect_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        ends_with(ZeroDivisionError())
