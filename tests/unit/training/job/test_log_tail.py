from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fastai_training.job.log_tail import LINES, Tail


@given(
    st.lists(st.text(alphabet="ab é", max_size=8).filter(lambda text: text == text.rstrip()), max_size=20), st.data()
)
def test_lines_come_back_however_they_are_cut(lines: list[str], data: st.DataObject):
    written = "".join(line + "\n" for line in lines).encode()
    tail, place = Tail(), 0
    while place < len(written):
        size = data.draw(st.integers(1, len(written)))
        tail.feed("stdout", written[place : place + size])
        place += size
    assert tail.lines() == lines


def test_a_bar_is_what_a_terminal_shows_at_its_end():
    tail = Tail()
    tail.feed("stderr", b"\x1b[31m10%\x1b[0m\r50%\r100%\nunfinished\x07")
    assert tail.lines("stderr") == ["100%", "unfinished"]


def test_it_is_bounded():
    tail = Tail()
    tail.feed("stdout", b"x" * 1_000_000)
    for number in range(3 * LINES):
        tail.feed("stdout", b"%d\n" % number)
    lines = tail.lines()
    assert len(lines) == LINES
    assert lines[-1] == str(3 * LINES - 1)


def test_streams_are_told_apart():
    tail = Tail()
    tail.feed("stdout", b"one\n")
    tail.feed("stderr", b"two\n")
    assert tail.lines("stderr") == ["two"]
    assert tail.lines() == ["one", "two"]
