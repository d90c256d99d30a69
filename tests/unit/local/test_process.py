from __future__ import annotations

import sys
from pathlib import Path

import pytest

from fastai_local import process as subject
from fastai_local.errors import LocalError

#: Seconds; meant to pass, however fast the machine is: what is started ends much later.
BRIEF = 0.2


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_output_errors_and_code_are_kept_apart() -> None:
    done = subject.capture(python("import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"))
    assert (done.code, done.out, done.err, done.ok) == (3, "out\n", "err\n", False)


def test_a_missing_program_and_a_time_out_are_results() -> None:
    assert subject.capture(["/nowhere/program"]).code == subject.NOT_FOUND
    late = subject.capture(python("import time; time.sleep(60)"), timeout=BRIEF)
    assert (late.code, late.err) == (subject.TIMED_OUT, f"no answer in {BRIEF} seconds")


def test_variables_are_added_to_our_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OURS", "1")
    code = "import os; print(os.environ['OURS'], os.environ['MORE'], os.getcwd())"
    done = subject.capture(python(code), env={"MORE": "2"}, cwd=tmp_path)
    assert done.out.split() == ["1", "2", str(tmp_path.resolve())]


def test_a_streamed_program_shows_its_output(capfd: pytest.CaptureFixture[str]) -> None:
    assert subject.stream(python("print('seen'); raise SystemExit(4)")) == 4
    assert capfd.readouterr().out == "seen\n"
    assert subject.stream(python("import time; time.sleep(60)"), timeout=BRIEF) == subject.TIMED_OUT
    with pytest.raises(LocalError, match="/nowhere/program can't be run: No such file"):
        subject.stream(["/nowhere/program"])


def test_the_last_line_is_kept_of_what_is_shown(capfd: pytest.CaptureFixture[str]) -> None:
    code = "import sys; print('one'); print('two'); print(); sys.stdout.flush(); print('three', file=sys.stderr)"
    assert subject.tee(python(code)) == (0, "two")
    assert capfd.readouterr().out == "one\ntwo\n\n"
    assert subject.tee(python(code), errors_too=True) == (0, "three")
    with pytest.raises(LocalError, match="can't be run"):
        subject.tee(["/nowhere/program"])


def test_the_sentence_of_a_log() -> None:
    assert subject.error_in("error: first\nline\nerror: last\nmore\n") == "last"
    assert subject.error_in("no error: here\n") is None
    assert subject.last_line("a\n b \n\n") == "b"
    assert subject.last_line("\n") == ""
