from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from fastai_training.data.labels import DataError
from fastai_training.data.picture_files import read_tree
from fastai_training.data.sources import find_examples


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def names(root: Path) -> list[str]:
    return [path.relative_to(root).as_posix() for path in read_tree(root).pictures]


def skipped(root: Path) -> dict[str, str]:
    return dict(read_tree(root).skipped)


def test_a_folders_files_come_before_its_folders(tmp_path):
    order = ["b.jpg", "z.PNG", "A/9.jpg", "a/1.jpg", "a/z.webp", "a/b/0.tiff"]
    touch(*(tmp_path / name for name in order), tmp_path / "notes.txt", tmp_path / ".hidden.jpg")
    touch(tmp_path / ".git" / "x.jpg", tmp_path / "__MACOSX" / "x.jpg")
    assert names(tmp_path) == order
    assert skipped(tmp_path) == {}


def test_a_circle_of_links_is_walked_once(tmp_path):
    touch(tmp_path / "cat" / "1.jpg", tmp_path / "cat" / "deep" / "2.jpg")
    (tmp_path / "cat" / "deep" / "up").symlink_to(tmp_path / "cat")
    (tmp_path / "cat" / "all").symlink_to("..")
    (tmp_path / "self").symlink_to("self")
    assert names(tmp_path) == ["cat/1.jpg", "cat/deep/2.jpg"]
    told = skipped(tmp_path)
    assert told["cat/deep/up"] == "the same folder as cat, read there"
    assert "which holds this channel's folder" in told["cat/all"]
    assert "leads nowhere" in told["self"]


@pytest.mark.parametrize("target", ["/", "/proc", "/proc/self/root", "/dev", "/sys", "/usr/share"])
def test_a_link_to_the_system_is_not_followed(tmp_path, target):
    touch(tmp_path / "cat" / "1.jpg")
    (tmp_path / "astray").symlink_to(target)
    assert names(tmp_path) == ["cat/1.jpg"]
    assert "astray" in skipped(tmp_path)


def test_a_file_is_counted_once_however_many_links_lead_to_it(tmp_path):
    touch(tmp_path / "data" / "z.jpg", tmp_path / "store" / "1.jpg")
    root = tmp_path / "data"
    (root / "a.jpg").symlink_to("z.jpg")
    (root / "b.jpg").symlink_to("a.jpg")
    (root / "one.jpg").symlink_to(tmp_path / "store" / "1.jpg")
    (root / "two.jpg").symlink_to(tmp_path / "store" / "1.jpg")
    assert names(root) == ["one.jpg", "z.jpg"], "the file itself, not the link that sorts before it"
    assert skipped(root) == {
        "a.jpg": "the same file as z.jpg, counted there",
        "b.jpg": "the same file as z.jpg, counted there",
        "two.jpg": f"the same file as {tmp_path}/store/1.jpg, counted there",
    }


def test_links_out_of_the_channel_are_followed(tmp_path):
    touch(tmp_path / "store" / "cat" / "1.jpg", tmp_path / "store" / "dog" / "2.jpg")
    root = tmp_path / "data"
    root.mkdir()
    for name in ("cat", "dog"):
        (root / name).symlink_to(tmp_path / "store" / name)
    (root / "everything").symlink_to(tmp_path / "store")
    assert names(root) == ["cat/1.jpg", "dog/2.jpg"]
    assert set(skipped(root)) == {"everything/cat", "everything/dog"}
    (tmp_path / "link").symlink_to(root)
    assert [path.name for path in read_tree(tmp_path / "link").pictures] == ["1.jpg", "2.jpg"]


def test_what_is_no_file_is_named_and_never_opened(tmp_path):
    touch(tmp_path / "1.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    (tmp_path / "gone.jpg").symlink_to("nothing")
    (tmp_path / "gone.txt").symlink_to("nothing")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(os.path.relpath(tmp_path / "socket.jpg"))
    listener.close()
    assert names(tmp_path) == ["1.jpg"]
    told = skipped(tmp_path)
    assert told["pipe.jpg"] == "a named pipe, not a file"
    assert told["zero.png"] == "a device, not a file"
    assert told["socket.jpg"] == "a socket, not a file"
    assert told["gone.jpg"] == "a link that leads nowhere: No such file or directory"
    assert set(told) == {"pipe.jpg", "zero.png", "socket.jpg", "gone.jpg"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_folder_that_cannot_be_read_is_named(tmp_path):
    touch(tmp_path / "cat" / "1.jpg", tmp_path / "dog" / "2.jpg")
    (tmp_path / "dog").chmod(0)
    try:
        assert "can't be read: Permission denied" in skipped(tmp_path)["dog"]
    finally:
        (tmp_path / "dog").chmod(0o755)


def test_a_folder_that_cannot_be_listed_is_named(tmp_path, monkeypatch):
    touch(tmp_path / "cat" / "1.jpg", tmp_path / "dog" / "2.jpg")
    real = os.scandir

    def scandir(path):
        if str(path).endswith("dog"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert skipped(tmp_path) == {"dog": "the folder can't be read: Permission denied"}
    assert names(tmp_path) == ["cat/1.jpg"]


def test_what_was_left_out_reaches_the_examples(tmp_path):
    for name in ("cat", "dog"):
        touch(*(tmp_path / name / f"{number}.jpg" for number in range(3)))
    (tmp_path / "dog" / "again.jpg").symlink_to("0.jpg")
    examples = find_examples(tmp_path)
    assert len(examples.items) == 6
    assert examples.skipped == [("dog/again.jpg", "the same file as dog/0.jpg, counted there")]


def test_a_manifest_names_a_file_once_whatever_the_link(tmp_path):
    touch(tmp_path / "1.jpg", tmp_path / "2.jpg")
    (tmp_path / "3.jpg").symlink_to("1.jpg")
    (tmp_path / "labels.csv").write_text("file,label\n1.jpg,a\n2.jpg,b\n3.jpg,a\n")
    examples = find_examples(tmp_path)
    assert [item.path.name for item in examples.items] == ["1.jpg", "2.jpg"]
    assert examples.skipped == [("3.jpg", "named twice in labels.csv")]


def test_nothing_but_links_astray_is_explained(tmp_path):
    (tmp_path / "cat").symlink_to("/proc")
    with pytest.raises(DataError, match="cat: a link to /proc, a folder of the system"):
        find_examples(tmp_path)


def test_other_files_are_counted_by_kind_until_they_are_used(tmp_path):
    touch(*(tmp_path / name for name in ("a.txt", "b.txt", "c.zip", "1.jpg")))
    tree = read_tree(tmp_path)
    assert [(note.text, note.example) for note in tree.unread()] == [
        ("2 .txt files are not used", "a.txt"),
        ("1 .zip files are not used; unpack archives", "c.zip"),
    ]
    tree.use(tmp_path / "a.txt")
    assert [note.text.partition(":")[0] for note in tree.unread()] == [
        "1 .txt files are not used",
        "1 .zip files are not used; unpack archives",
    ]
    tree.use(tmp_path / "b.txt")
    tree.use(tmp_path.parent / "other" / "x.zip")
    assert set(tree.others) == {".zip"}
