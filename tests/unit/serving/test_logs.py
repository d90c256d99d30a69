from __future__ import annotations

import json
import logging
import sys

import pytest

from fastai_serving.logs import JsonFormatter, PlainFormatter, WorkerFormatter


class UnspeakableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")

    __repr__ = __str__


def record(error: BaseException, text: str = "the request failed") -> logging.LogRecord:
    try:
        raise error
    except BaseException:
        return logging.LogRecord("a.service", logging.ERROR, "", 1, text, (), sys.exc_info())


@pytest.mark.parametrize("formatter", [PlainFormatter(), JsonFormatter(), WorkerFormatter()])
@pytest.mark.parametrize("error", [ValueError("x" * 50_000_000), UnspeakableError(), ValueError("a\nb\rc\x00")])
def test_an_exception_of_any_kind_is_one_line_of_bounded_length(formatter, error):
    line = formatter.format(record(error))
    assert "\n" not in line
    assert "the request failed" in line
    assert type(error).__name__ in line
    assert len(line) < 12_000


def test_no_word_of_a_script_forges_a_line_or_is_obeyed_by_a_terminal():
    forged = "a\r\n2026-01-01 INFO forged\x1b[2Ja\x00\x07\x85\u2028\x7fé字"
    for formatter in (PlainFormatter(), WorkerFormatter()):
        line = formatter.format(record(ValueError("x"), forged))
        assert r"a\r\n2026-01-01 INFO forged\x1b[2Ja\x00\x07\x85\u2028\x7fé字" in line
        assert line.isprintable()


def test_a_long_text_keeps_beginning_and_end():
    line = json.loads(JsonFormatter().format(record(ValueError("short"), "begin" + "x" * 100_000 + "end")))["message"]
    assert line.startswith("beginxxx")
    assert "characters … " in line
    assert line.endswith("ValueError: short")


def test_a_chain_of_thousands_is_cut():
    error: Exception = ValueError("innermost")
    for _ in range(5000):
        outer = ValueError("next")
        outer.__cause__ = error
        error = outer
    assert len(WorkerFormatter().format(record(error))) < 12_000
