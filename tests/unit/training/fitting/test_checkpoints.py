from __future__ import annotations

import dataclasses
import os

import pytest

torch = pytest.importorskip("torch")

from fastai_training.data.labels import Example  # noqa: E402
from fastai_training.diagnosis.volumes import VolumeError  # noqa: E402
from fastai_training.fitting.checkpoints import (  # noqa: E402
    CheckpointError,
    check_identity,
    data_digest,
    list_checkpoints,
    read_checkpoint,
    read_newest,
    room_needed,
    run_identity,
    write_checkpoint,
)
from fastai_training.hyperparameters import HyperParameters  # noqa: E402


def state(number: int) -> dict:
    return {"position": {"total": number}, "model": {"w": torch.full((1000,), float(number))}, "history": [{"a": 1.5}]}


def test_a_checkpoint_comes_back_as_it_was(tmp_path):
    path = write_checkpoint(tmp_path / "new", 3, state(3))
    assert path.name == "checkpoint-00000003.pt"
    back = read_checkpoint(path)
    assert torch.equal(back["model"]["w"], state(3)["model"]["w"])
    assert back["history"] == [{"a": 1.5}]


def test_the_last_two_are_kept_and_leftovers_removed(tmp_path):
    (tmp_path / "checkpoint-00000009.pt.partial").write_bytes(b"half")
    (tmp_path / "notes.txt").write_text("the user's")
    for number in (9, 10, 100):
        write_checkpoint(tmp_path, number, state(number))
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["checkpoint-00000010.pt", "checkpoint-00000100.pt", "notes.txt"]


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "other"])
def test_a_damaged_newest_falls_back_to_the_one_before(tmp_path, damage):
    write_checkpoint(tmp_path, 1, state(1))
    newest = write_checkpoint(tmp_path, 2, state(2))
    content = bytearray(newest.read_bytes())
    if damage == "flip":
        content[len(content) // 2] ^= 1
    newest.write_bytes({"cut": content[:-100], "flip": content, "empty": b"", "other": b"PK\3\4" + content}[damage])
    said: list[str] = []
    path, found = read_newest(tmp_path, said.append)
    assert path.name == "checkpoint-00000001.pt"
    assert found["position"]["total"] == 1
    assert "checkpoint-00000002.pt can't be used" in said[0]


def test_none_left_is_none(tmp_path):
    assert read_newest(tmp_path / "absent") is None
    write_checkpoint(tmp_path, 1, state(1)).write_bytes(b"")
    assert read_newest(tmp_path, lambda _text: None) is None


def test_a_crash_before_the_rename_leaves_the_old_ones(tmp_path, monkeypatch):
    write_checkpoint(tmp_path, 1, state(1))

    def crash(*_arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", crash)
    with pytest.raises(VolumeError, match=f"the disk is full: {tmp_path} needs about"):
        write_checkpoint(tmp_path, 2, state(2))
    assert list(tmp_path.iterdir()) == list_checkpoints(tmp_path), "half a checkpoint takes the room of the reason"
    assert [path.name for path in list_checkpoints(tmp_path)] == ["checkpoint-00000001.pt"]


@pytest.mark.parametrize(
    ("epochs", "frozen", "times"), [(1, 0, 3), (10, 5, 9), (2, 4, 7), (0, 1, 1), (0, 9, 3), (1, 1, 4)]
)
def test_room_is_for_two_checkpoints_and_the_next(tmp_path, epochs, frozen, times):
    assert room_needed(tmp_path / "none", 100.0, epochs, frozen) == times * 100
    (tmp_path / "checkpoint-00000001.pt").write_bytes(bytes(40))
    assert room_needed(tmp_path, 100.0, epochs, frozen) == times * 100 - 40
    more = min(3, epochs + frozen) * 100
    assert room_needed(tmp_path, 100.0, epochs, frozen, best=True) == times * 100 - 40 + more


def test_code_in_a_checkpoint_is_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    path = write_checkpoint(tmp_path, 1, {"evil": Evil()})
    assert read_newest(tmp_path, lambda _text: None) is None
    assert path.exists()
    assert not (tmp_path / "ran").exists()


@pytest.fixture
def examples(tmp_path):
    items = []
    for name in ("a_1", "b_1", "c_1"):
        path = tmp_path / f"{name}.jpg"
        path.write_bytes(name.encode())
        items.append(Example(path, name[0]))
    return items


def test_the_data_are_told_apart(tmp_path, examples):
    digest = data_digest(tmp_path, examples[:2], examples[2:])
    assert digest == data_digest(tmp_path, examples[:2], examples[2:])
    assert digest != data_digest(tmp_path, examples[:1], examples[1:])
    relabelled = [dataclasses.replace(examples[0], label="z"), examples[1]]
    assert digest != data_digest(tmp_path, relabelled, examples[2:])
    examples[0].path.write_bytes(b"more")
    assert digest != data_digest(tmp_path, examples[:2], examples[2:])


def test_what_does_not_change_training_may_differ(tmp_path):
    made = run_identity(HyperParameters(workers=1, checkpoint_seconds=0, tta=4), "d", "w", 1)
    check_identity(tmp_path, made, run_identity(HyperParameters(workers=4, checkpoint_seconds=9), "d", "w", 1))


def test_what_a_checkpoint_knows_nothing_of_was_at_its_default(tmp_path):
    made = run_identity(HyperParameters(), "d", "w", 1)
    del made["hyperparameters"]["mixup"]
    check_identity(tmp_path, made, run_identity(HyperParameters(), "d", "w", 1))
    with pytest.raises(CheckpointError, match=r"mixup was 0\.0, is 0\.2"):
        check_identity(tmp_path, made, run_identity(HyperParameters(mixup=0.2), "d", "w", 1))


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (run_identity(HyperParameters(epochs=9), "d", "w", 1), "epochs was 9, is 4"),
        (run_identity(HyperParameters(), "e", "w", 1), "the pictures or their labels are others"),
        (run_identity(HyperParameters(), "d", None, 1), "weights were None, are w"),
        (run_identity(HyperParameters(), "d", "w", 2), "by 2 processes, now there are 1"),
        ({}, "arch was None"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(tmp_path, other, words):
    with pytest.raises(CheckpointError, match=words) as caught:
        check_identity(tmp_path, other, run_identity(HyperParameters(), "d", "w", 1))
    assert "empty checkpoint folder" in str(caught.value)
