from __future__ import annotations

import pytest

from fastai_training.labels import DataError, find_examples
from fastai_training.pictures_check import leave_out_unreadable
from tests.unit.training_data import write_pictures


@pytest.fixture
def folder(tmp_path):
    write_pictures(tmp_path, 30)
    (tmp_path / "red_1.jpg").write_bytes((tmp_path / "red_2.jpg").read_bytes()[:-200])
    (tmp_path / "red_3.jpg").write_text("no picture")
    (tmp_path / "red_4.jpg").write_bytes(b"")
    return tmp_path


@pytest.mark.parametrize("processes", [1, 2])
def test_unreadable_pictures_are_left_out_with_a_reason(folder, processes):
    result = leave_out_unreadable(find_examples(folder), strict=False, processes=processes)
    assert len(result.items) == 87
    reasons = dict(result.skipped)
    assert "cut short" in reasons["red_1.jpg"]
    assert "not a picture" in reasons["red_3.jpg"]
    assert set(reasons) == {"red_1.jpg", "red_3.jpg", "red_4.jpg"}


def test_strict_fails_on_the_first(folder):
    with pytest.raises(DataError, match=r"strict is set: red_1\.jpg"):
        leave_out_unreadable(find_examples(folder), strict=True, processes=1)


def test_mostly_unreadable_is_no_data_set(tmp_path):
    for path in write_pictures(tmp_path, 4)[:7]:
        path.write_bytes(b"x")
    with pytest.raises(DataError, match="7 of 12 pictures can't be read"):
        leave_out_unreadable(find_examples(tmp_path), strict=False, processes=1)
