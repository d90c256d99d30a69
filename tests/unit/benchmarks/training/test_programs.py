from __future__ import annotations

import pytest

from benchmarks.training.programs import Run, run


def test_a_program_that_fails_says_so_with_its_last_lines(tmp_path):
    with pytest.raises(RuntimeError, match="ended with 3:\nfirst\nlast"):
        run(["-c", "print('first'); print('last'); raise SystemExit(3)"], tmp_path)


def test_a_programs_lines_have_their_times(tmp_path):
    done = run(["-c", "print('a'); print('a b')"], tmp_path)
    assert [line for _, line in done.log] == ["a", "a b"]
    assert done.seconds >= done.when("a", last=True) >= done.when("a") > 0
    known = Run(9, 0, [(1.5, "a"), (2.5, "a b")])
    assert (known.when("a"), known.when("a", last=True), known.when("b")) == (1.5, 2.5, 2.5)
    with pytest.raises(ValueError, match="no line"):
        known.when("c")
