"""What is known of training pictures that nobody looked at before: marks that all workers share."""

from __future__ import annotations

import itertools
import multiprocessing

import pytest

from fastai_training.data.labels import DataError, Example
from fastai_training.data.late_check import READ, UNREADABLE, UNSEEN, LateCheck, UnreadableError, is_wanted, sampled
from fastai_training.hyperparameters import HyperParameters
from tests.unit.training_data import COLOURS, write_picture


def check(folder, count=5, strict=False) -> LateCheck:
    return LateCheck([Example(folder / f"{n}.jpg", str(n)) for n in range(count)], 32, strict=strict)


def opening(*bad: int):
    """What opens pictures, of which these are bad, and the numbers that it was asked for."""
    asked: list[int] = []

    def opened(number: int) -> str:
        asked.append(number)
        if number in bad:
            raise UnreadableError(f"{number} is bad")
        return f"picture {number}"

    return opened, asked


@pytest.mark.parametrize(
    ("given", "fast_file", "pictures", "expected"),
    [
        ({}, False, 20_000, False),
        ({}, False, 20_001, True),
        ({}, True, 20, True),
        ({"folds": 5}, True, 30_000, False),
        ({"check_pictures": "before"}, True, 30_000, False),
        ({"check_pictures": "while_training"}, False, 20, True),
    ],
)
def test_many_pictures_or_those_that_come_over_the_network_are_checked_late(given, fast_file, pictures, expected):
    assert is_wanted(HyperParameters(**given), fast_file=fast_file, pictures=pictures) is expected


def test_a_sample_is_spread_over_all(tmp_path):
    items = check(tmp_path, 1000).items
    places = [items.index(item) for item in sampled(items)]
    assert (len(places), places[0]) == (256, 0)
    assert {b - a for a, b in itertools.pairwise(places)} == {3, 4}
    assert sampled(items[:3]) == items[:3]


def test_the_next_readable_picture_stands_in_and_the_last_is_followed_by_the_first(tmp_path):
    late = check(tmp_path)
    opened, asked = opening(1, 2, 4)
    assert [late.read(number, opened) for number in (1, 4, 3)] == ["picture 3", "picture 0", "picture 3"]
    assert late.marks.tolist() == [READ, UNREADABLE, UNREADABLE, READ, UNREADABLE]
    assert asked == [1, 2, 3, 4, 0, 3]
    assert late.read(1, opened) == "picture 3"
    assert asked[6:] == [3], "what is known to be unreadable is not tried again"


def test_workers_write_the_marks_that_this_process_reads(tmp_path):
    late = check(tmp_path)
    opened, _ = opening(1)
    worker = multiprocessing.get_context("fork").Process(target=late.read, args=(1, opened))
    worker.start()
    worker.join()
    assert late.marks.tolist() == [UNSEEN, UNREADABLE, READ, UNSEEN, UNSEEN]


def test_none_that_can_be_read_is_told_and_does_not_go_round_for_ever(tmp_path):
    late = check(tmp_path)
    with pytest.raises(UnreadableError):
        late.read(3, opening(0, 1, 2, 3, 4)[0])
    assert "none of the 5 training pictures can be read" in str(late.refusal())


def test_strict_refuses_the_first_by_its_name(tmp_path):
    late = check(tmp_path, strict=True)
    (tmp_path / "2.jpg").write_text("no picture")
    with pytest.raises(UnreadableError):
        late.read(2, opening(2)[0])
    assert "2.jpg can't be read and strict is set: not a picture in a format" in str(late.refusal())


def test_mostly_unreadable_is_no_data_set(tmp_path):
    late = check(tmp_path)
    late.require_enough()
    late.marks[:2] = READ, UNREADABLE
    late.require_enough()
    late.marks[2] = UNREADABLE
    with pytest.raises(DataError, match=r"2 of the 3 training pictures seen so far can't be read: .*1\.jpg: can't be"):
        late.require_enough()


def test_a_run_that_goes_on_knows_what_the_one_before_knew(tmp_path):
    late, again = check(tmp_path), check(tmp_path)
    late.marks[:2] = READ, UNREADABLE
    again.marks[1:3] = READ
    again.merge([late.state()])
    assert again.marks.tolist() == [READ, UNREADABLE, READ, UNSEEN, UNSEEN]
    assert [item.label for item in again.readable()] == ["0", "2", "3", "4"]


def test_each_has_a_reason_but_not_thousands(tmp_path, monkeypatch):
    late = check(tmp_path, 4)
    write_picture(tmp_path / "0.jpg", COLOURS["red"])
    (tmp_path / "1.jpg").write_text("no picture")
    late.marks[:] = UNREADABLE
    monkeypatch.setattr("fastai_training.data.late_check.MOST_REASONS", 3)
    assert late.left_out(tmp_path) == [
        ("0.jpg", "could not be read when it was wanted, but can be now"),
        ("1.jpg", "not a picture in a format that is read here (JPEG, PNG, WebP, GIF, BMP, TIFF)"),
        ("2.jpg", "can't be read: No such file or directory"),
        ("3.jpg", "can't be read"),
    ]
