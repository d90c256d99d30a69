"""Folders as users bring them: what is read of them, and what is said of the rest."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastai_container.paths import MLPaths
from fastai_training.data.channels import Channels, find_channels
from fastai_training.data.labels import DataError
from fastai_training.data.reading import Data, read_data, settle_late
from fastai_training.hyperparameters import HyperParameters, parse
from tests.fixtures.data_cases import CASES, Right
from tests.unit.training_data import write_pictures


def read(root: Path, right: Right) -> tuple[Data, str]:
    """Read a case's channels as a job does; what was found, and all that was said."""
    place = root.parent / "ml"
    paths = MLPaths(place)
    paths.data.mkdir(parents=True)
    for name, where in right.channels.items():
        (paths.data / name).symlink_to(root / where)
    said: list[str] = []
    parameters = parse({"image_size": "32", **right.hyperparameters})
    return read_data(find_channels(paths), parameters, said.append, 1), "\n".join(said)


@pytest.mark.parametrize("name", CASES)
def test_a_folder_as_users_bring_it(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "case"
    folder.mkdir()
    right = CASES[name](folder)
    if right.vocab is None or right.task != "single":
        with pytest.raises(DataError) as raised:
            read(folder, right)
        for word in (*right.says, *([] if right.task == "single" else [f"task={right.task}"])):
            assert word in str(raised.value)
        return
    data, said = read(folder, right)
    assert data.vocab == right.vocab
    if right.total:
        assert len(data.train) + len(data.valid) == right.total
    if right.train is not None:
        assert (len(data.train), len(data.valid)) == (right.train, right.valid)
    for word in right.says:
        assert word in said


def test_a_part_of_the_training_channel_is_kept_for_validation(tmp_path):
    write_pictures(tmp_path, 5)
    said: list[str] = []
    data = read_data(Channels(tmp_path), HyperParameters(image_size=32), said.append, 1)
    assert (len(data.train), len(data.valid), data.vocab) == (12, 3, ["blue", "green", "red"])
    assert said[-1] == "training on 12 pictures, validating on 3, 3 classes"


def test_a_validation_channel_is_taken_whole_and_what_is_left_out_is_listed(tmp_path):
    write_pictures(tmp_path / "t", 3)
    write_pictures(tmp_path / "v", 9)
    (tmp_path / "v" / "red_99.jpg").write_bytes(b"no picture")
    said: list[str] = []
    data = read_data(Channels(tmp_path / "t", tmp_path / "v"), HyperParameters(image_size=32), said.append, 1)
    assert (len(data.train), len(data.valid)) == (9, 27)
    assert [row[:2] for row in data.skipped] == [("validation", "red_99.jpg")]
    assert any(line.startswith("channel validation: 1 pictures left out (red_99.jpg: ") for line in said)


def test_a_class_that_validation_alone_has_is_refused(tmp_path):
    write_pictures(tmp_path / "t", 3, ("red", "blue"))
    write_pictures(tmp_path / "v", 3, ("red", "green"))
    with pytest.raises(DataError, match="classes that training does not: green"):
        read_data(Channels(tmp_path / "t", tmp_path / "v"), HyperParameters(image_size=32), print, 1)


LATE = HyperParameters(image_size=32, check_pictures="while_training")


def damage(*paths: Path) -> None:
    for path in paths:
        path.write_bytes(b"no picture")


def test_late_the_split_is_the_same_and_training_pictures_are_not_opened(tmp_path, monkeypatch):
    write_pictures(tmp_path, 20)
    before = read_data(Channels(tmp_path), HyperParameters(image_size=32), lambda _: None, 1)
    said: list[str] = []
    monkeypatch.setattr("fastai_training.data.late_check.SAMPLED", 4)
    monkeypatch.setattr("fastai_training.data.late_check.MANY", 59)  # of all: what is kept for validation is among them
    sampled = before.train[::12]
    damage(sampled[1].path, *(item.path for item in before.train if item not in sampled and item.label == "red"))
    data = read_data(Channels(tmp_path), HyperParameters(image_size=32), said.append, 1)
    assert (data.train, data.valid, data.vocab) == (before.train, before.valid, before.vocab)
    assert data.skipped == []
    assert data.late is not None
    assert data.late.items == data.train
    assert before.late is None
    line = next(line for line in said if "check_pictures=while_training" in line)
    assert line.startswith("48 training pictures are checked while they are first decoded")
    assert f"of 4 looked at before, 1 can't be read; {sampled[1].path.name}: not a picture" in line


def test_late_what_is_held_back_is_checked_before_and_left_out(tmp_path):
    write_pictures(tmp_path, 10)
    valid = read_data(Channels(tmp_path), LATE, lambda _: None, 1).valid
    damage(valid[0].path)
    data = read_data(Channels(tmp_path), LATE, lambda _: None, 1)
    assert data.valid == valid[1:]
    assert [row[:2] for row in data.skipped] == [("training", valid[0].path.name)]


def test_late_a_channel_for_validation_is_checked_before(tmp_path):
    write_pictures(tmp_path / "t", 4)
    write_pictures(tmp_path / "v", 4)
    damage(tmp_path / "t" / "red_1.jpg", tmp_path / "v" / "red_1.jpg")
    data = read_data(Channels(tmp_path / "t", tmp_path / "v", fast_file=True), HyperParameters(), lambda _: None, 1)
    assert (len(data.train), len(data.valid)) == (12, 11)
    assert [row[:2] for row in data.skipped] == [("validation", "red_1.jpg")]


def test_late_a_set_that_is_mostly_unreadable_is_refused_before_training(tmp_path):
    damage(*(path for path in write_pictures(tmp_path, 6) if path.name[-5] in "1234"))
    with pytest.raises(DataError, match="pictures can't be read, too few are left"):
        read_data(Channels(tmp_path), LATE, lambda _: None, 1)


def test_late_strict_refuses_what_is_found_before_training(tmp_path):
    damage(write_pictures(tmp_path, 6)[2])
    with pytest.raises(DataError, match="strict is set: red_3"):
        read_data(Channels(tmp_path), HyperParameters(check_pictures="while_training", strict=True), lambda _: None, 1)


def test_after_training_what_could_not_be_read_is_left_out_and_named(tmp_path):
    write_pictures(tmp_path, 5)
    said: list[str] = []
    data = read_data(Channels(tmp_path), LATE, said.append, 1)
    assert settle_late(data, tmp_path, said.append) is data
    reds = [place for place, item in enumerate(data.train) if item.label == "red"]
    damage(*(data.train[place].path for place in reds))
    assert data.late is not None
    data.late.marks[reds] = 2
    settled = settle_late(data, tmp_path, said.append)
    assert settled.train == [item for item in data.train if item.label != "red"]
    names = {data.train[place].path.name for place in reds}
    assert {(channel, name) for channel, name, _ in settled.skipped} == {("training", name) for name in names}
    assert said[-2].startswith(f"channel training: {len(reds)} pictures left out while training (red_")
    assert said[-1] == "data: no training picture of red can be read: it was not learnt"
    assert settled.notes[-1][1].text in said[-1]
