from __future__ import annotations

from pathlib import Path

import pytest

from fastai_training.data.labels import DataError
from fastai_training.data.picture_files import read_tree
from fastai_training.data.readers.class_names import name_classes
from fastai_training.data.readers.reader import Channel

INDICES, NO_PATHS = ["0", "1", "0", "10"], [""] * 4
NAMES = "".join(f"class {number}\n" for number in range(10)) + "ten\n"


def named(root: Path, paths=NO_PATHS, indices=INDICES, **facts) -> tuple[dict[str, str], str]:
    channel = Channel(root, read_tree(root), **facts)
    names, notes = name_classes(channel, [root], indices, paths)
    return names, "; ".join(note.text for note in [*channel.notes, *notes])


@pytest.mark.parametrize("file", ["classes.txt", "synset.txt", "labels.txt", "class_names.txt"])
def test_a_file_has_a_line_for_each_class(tmp_path, file):
    (tmp_path / file).write_text(NAMES, encoding="utf-8-sig")
    names, said = named(tmp_path)
    assert names == {"0": "class 0", "1": "class 1", "10": "ten"}
    assert said == f"classes are named by {file}; 8 of its names have no picture"


def test_a_file_of_names_counts_no_longer_as_not_used(tmp_path):
    for name in ("classes.txt", "synset.txt", "notes.txt"):
        (tmp_path / name).write_text("cat\ndog\n")
    channel = Channel(tmp_path, read_tree(tmp_path))
    name_classes(channel, [tmp_path], ["0", "1"], ["", ""])
    assert [note.text for note in channel.notes] == ["synset.txt is not used: classes.txt names the classes"]
    assert channel.tree.others[".txt"][0] == 1


def test_lines_may_begin_with_the_index(tmp_path):
    (tmp_path / "classes.txt").write_text("1 dog\n10: hen\n0\tcat\n")
    assert named(tmp_path)[0] == {"0": "cat", "1": "dog", "10": "hen"}
    (tmp_path / "classes.txt").write_text("3 dogs\n3 cats\n")
    assert named(tmp_path, ["", ""], ["0", "1"])[0] == {"0": "3 dogs", "1": "3 cats"}


WRONG = {
    "too short": (b"cat\ndog\n", r"classes\.txt has 2 names, none for class 10; give it a line for each class"),
    "from 1": (b"1 cat\n2 dog\n", r"2 names, none for class 0"),
    "a name twice": (b"cat\ndog\ncat\n", r"has the name 'cat' twice"),
    "an empty line": (b"cat\n\ndog\n", r"line 2 is empty"),
    "not UTF-8": (b"caf\xe9\n", r"can't be read: .*save it as UTF-8"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_file_that_would_name_classes_wrongly_is_refused(tmp_path, name):
    content, says = WRONG[name]
    (tmp_path / "classes.txt").write_bytes(content)
    with pytest.raises(DataError, match=says):
        named(tmp_path)


def test_folders_name_classes_where_each_has_its_own(tmp_path):
    names, said = named(tmp_path, ["x/cat/1.jpg", "x\\dog\\1.jpg", "cat/2.jpg", "hen/3.jpg"])
    assert (names, said) == ({"0": "cat", "1": "dog", "10": "hen"}, "classes are named by the folders of the paths")


@pytest.mark.parametrize(
    "paths",
    [
        ["cat/1.jpg", "dog/1.jpg", "dog/2.jpg", "hen/3.jpg"],  # two folders of one index
        ["cat/1.jpg", "cat/2.jpg", "cat/3.jpg", "hen/3.jpg"],  # one folder of two indices
        ["1.jpg", "2.jpg", "3.jpg", "4.jpg"],
        ["cat/1.jpg", "dog/1.jpg", "cat/2.jpg", ""],
    ],
)
def test_otherwise_classes_are_called_by_their_numbers(tmp_path, paths):
    names, said = named(tmp_path, paths)
    assert names == {"0": "0", "1": "1", "10": "10"}
    assert "called by their numbers; classes.txt in the channel (a line a class) gives them names" in said


def test_what_training_calls_them_goes_before_all_else(tmp_path):
    trained = {"0": "cat", "1": "dog", "10": "10"}
    assert named(tmp_path, class_names=trained) == (trained, "")
    assert named(tmp_path, ["cat/1.jpg", "dog/1.jpg", "cat/2.jpg", "hen/3.jpg"], class_names=trained)[0] == trained
    assert named(tmp_path, class_names={"0": "cat"})[0]["1"] == "1", "which is refused as a class that training lacks"
    with pytest.raises(DataError, match=r"class 0 is dog by the folders of the paths, but cat in the training channel"):
        named(tmp_path, ["dog/1.jpg", "cat/1.jpg", "dog/2.jpg", "hen/3.jpg"], class_names=trained)
    (tmp_path / "classes.txt").write_text(NAMES)
    with pytest.raises(DataError, match=r"class 0 is class 0 by classes\.txt, but cat in the training channel"):
        named(tmp_path, class_names=trained)
