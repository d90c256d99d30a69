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
from tests.fixtures.record_files import write_list
from tests.unit.training_data import COLOURS, write_picture, write_pictures


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


def read_folders(root: Path, **channels: Path) -> tuple[Data, str]:
    said: list[str] = []
    data = read_data(Channels(root, **channels), HyperParameters(image_size=32), said.append, 1)
    return data, "\n".join(said)


def test_a_validation_channel_goes_before_the_training_channels_own_split(tmp_path):
    for part, each in (("train", 4), ("val", 3), ("test", 2)):
        for name in ("warm", "cold"):
            write_pictures(tmp_path / "t" / part / name, each, ("red",))
            write_pictures(tmp_path / "v" / name, 1, ("red", "blue"))
    data, said = read_folders(tmp_path / "t", validation=tmp_path / "v")
    assert (len(data.train), len(data.valid), len(data.test)) == (8, 4, 4)
    assert "channel training: its 6 pictures for validation are not used: there is a channel" in said
    data, said = read_folders(tmp_path / "t", test=tmp_path / "v")
    assert (len(data.train), len(data.valid), len(data.test)) == (8, 6, 4)
    assert "channel training: its 4 pictures for testing are not used: there is a channel test" in said


def test_one_folder_for_all_channels_gives_each_its_part(tmp_path):
    for part, each in (("train", 4), ("val", 3), ("test", 2)):
        for name in ("warm", "cold"):
            write_pictures(tmp_path / part / name, each, ("red",))
    data, said = read_folders(tmp_path, validation=tmp_path, test=tmp_path)
    assert (len(data.train), len(data.valid), len(data.test)) == (8, 6, 4)
    assert "channel validation: 12 of its pictures are in other parts of a split and not used" in said
    assert "channel test: 14 of its pictures are in other parts of a split and not used" in said


def test_a_channel_for_validation_that_has_a_part_for_testing_gives_it(tmp_path):
    write_pictures(tmp_path / "t", 3)
    for part in ("train", "test"):
        write_pictures(tmp_path / "v" / part, 2)
    assert len(read_folders(tmp_path / "t", validation=tmp_path / "v")[0].valid) == 6


def test_training_names_the_class_indices_of_all_channels(tmp_path):
    for folder, numbers in (("t", (1, 2, 3)), ("v", (4,))):
        write_pictures(tmp_path / folder, 4, ("red", "blue"))
        rows = [(n, [n % 2], f"{('red', 'blue')[n % 2]}_{number}.jpg") for number in numbers for n in (0, 1)]
        write_list(tmp_path / folder / "list.lst", rows)
    (tmp_path / "t" / "classes.txt").write_text("warm\ncold\n")
    data, _ = read_folders(tmp_path / "t", validation=tmp_path / "v")
    assert (data.vocab, len(data.train), len(data.valid)) == (["cold", "warm"], 6, 2)
    assert {item.path.name: item.label for item in data.valid} == {"red_4.jpg": "warm", "blue_4.jpg": "cold"}


@pytest.mark.parametrize("channel", ["validation", "test"])
def test_a_channel_without_labels_is_named(tmp_path, channel):
    write_pictures(tmp_path / "t", 3)
    write_pictures(tmp_path / "other", 1)
    for path in (tmp_path / "other").iterdir():
        path.rename(path.with_name(f"IMG_{path.name[0]}.jpg"))
    with pytest.raises(DataError, match=f"^the channel {channel}: can't tell the labels") as raised:
        read_folders(tmp_path / "t", **{channel: tmp_path / "other"})
    assert ("leave the channel out" in str(raised.value)) == (channel == "test")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=f"^the channel {channel}: no pictures in .*it is empty"):
        read_folders(tmp_path / "t", **{channel: tmp_path / "empty"})


def test_a_class_that_the_test_channel_alone_has_is_refused(tmp_path):
    write_pictures(tmp_path / "t", 3, ("red", "blue"))
    write_pictures(tmp_path / "v", 3, ("red", "green"))
    with pytest.raises(DataError, match="the test channel has classes that training does not: green"):
        read_folders(tmp_path / "t", test=tmp_path / "v")


def test_a_class_that_only_a_part_of_the_split_has_is_refused(tmp_path):
    for name in ("train/red", "train/blue", "val/red", "val/green"):
        write_pictures(tmp_path / name, 3, ("red",))
    with pytest.raises(DataError, match="the part for validation has classes that training does not: green"):
        read_folders(tmp_path)


def test_a_part_for_training_with_one_class_is_refused(tmp_path):
    for name in ("train/red", "val/red", "val/green"):
        write_pictures(tmp_path / name, 3, ("red",))
    with pytest.raises(DataError, match=r"to train on are of 1 classes \(red\); at least two"):
        read_folders(tmp_path)


def test_classes_without_a_picture_to_validate_on_are_named(tmp_path):
    write_pictures(tmp_path, 3, ("red", "blue"))
    write_pictures(tmp_path, 1, ("green",))
    data, said = read_folders(tmp_path)
    assert (len(data.train), len(data.valid), len(data.vocab)) == (5, 2, 3)
    assert (
        "data: 1 of 3 classes have no picture to validate on: the error says nothing of them (for example green)"
        in said
    )


def test_too_few_pictures_to_validate_on_are_refused(tmp_path):
    write_pictures(tmp_path / "red", 1, ("red",))
    write_pictures(tmp_path / "blue", 1, ("blue",))
    with pytest.raises(DataError, match="every class has one picture only"):
        read_folders(tmp_path)


def test_copies_across_the_channels_are_named(tmp_path):
    for folder in ("t", "v"):
        write_pictures(tmp_path / folder, 2)
    _, said = read_folders(tmp_path / "t", validation=tmp_path / "v")
    assert "data: 6 pictures are on both sides of the split (train and valid), byte for byte the same" in said


def test_a_class_without_a_readable_picture_is_named(tmp_path):
    for name in ("warm", "cold"):
        write_pictures(tmp_path / name, 3, ("red",))
    (tmp_path / "hot").mkdir()
    (tmp_path / "hot" / "1.jpg").write_bytes(b"")
    data, said = read_folders(tmp_path)
    assert data.vocab == ["cold", "warm"]
    assert "channel training: 1 of 3 classes have no picture that can be read (for example hot)" in said


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


def test_groups_that_a_given_split_parts_are_named(tmp_path):
    for part, numbers in (("train", (1, 2, 3)), ("val", (3, 4))):
        for name in ("warm", "cold"):
            for number in numbers:
                write_picture(tmp_path / part / name / f"p{number}_{part}.jpg", COLOURS["red"], seed=number)
    said: list[str] = []
    read_data(Channels(tmp_path), HyperParameters(image_size=32, group_from=r"/(p\d)_"), said.append, 1)
    told = "data: 1 groups are on both sides of the split, which was given; the error that is measured is too low"
    assert f"{told} (for example p3)" in said
