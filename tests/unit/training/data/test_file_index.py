from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from fastai_training.data.file_index import MANY, NOT_THERE, SEVERAL, FileIndex
from fastai_training.data.picture_files import read_tree


def index(root: Path, *names: str) -> FileIndex:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return FileIndex(read_tree(root))


def found(files: FileIndex, name: str, folder: str = "", split: str = "") -> str:
    match = files.match(name, folder, split)
    return match.why if match.path is None else match.path.relative_to(files.tree.root).as_posix()


@pytest.mark.parametrize(
    "name",
    [
        "images/1.jpg",
        "1.jpg",
        "1",
        "1.JPG",
        "IMAGES/1.jpg",
        "./images/1.jpg",
        "../images/1.jpg",
        "x/../images/1.jpg",
        "/home/bob/data/images/1.jpg",
        "C:\\Users\\bob\\images\\1.jpg",
        "images\\1.jpg",
        "s3://bucket/some/where/1.jpg",
        "https://host/x/1.jpg?size=2#top",
        "file:///data/images/1.jpg",
    ],
)
def test_a_name_of_any_machine_finds_its_file(tmp_path, name):
    assert found(index(tmp_path, "images/1.jpg", "images/2.jpg"), name) == "images/1.jpg"


@pytest.mark.parametrize("name", ["", " ", "/", "..", "3.jpg", "1.png", "1.jpg/", "x" * 5000, "images", "a\0b"])
def test_a_name_of_no_file_finds_none(tmp_path, name):
    wanted = "images/1.jpg" if name == "1.jpg/" else NOT_THERE
    assert found(index(tmp_path, "images/1.jpg"), name) == wanted


def test_codes_of_an_address_are_read(tmp_path):
    files = index(tmp_path, "my cat.jpg", "50%25.jpg")
    assert found(files, "https://host/my%20cat.jpg") == "my cat.jpg"
    assert found(files, "my%20cat.jpg") == NOT_THERE
    assert found(files, "s3://bucket/50%25.jpg") == "50%25.jpg"


def test_letters_in_another_unicode_form_are_the_same(tmp_path):
    name = unicodedata.normalize("NFD", "café.jpg")
    assert found(index(tmp_path, name), unicodedata.normalize("NFC", name)) == name


def test_of_files_of_one_name_the_one_in_the_same_folders_is_meant(tmp_path):
    files = index(tmp_path, "cats/1.jpg", "dogs/1.jpg", "old/dogs/1.jpg")
    assert found(files, "s3://b/cats/1.jpg") == "cats/1.jpg"
    assert found(files, "dogs/1.jpg") == "dogs/1.jpg"
    assert found(files, "old/dogs/1.jpg") == "old/dogs/1.jpg"
    assert found(files, "1.jpg") == SEVERAL
    assert found(files, "birds/1.jpg") == SEVERAL


def test_names_that_differ_by_case_alone_are_told_apart(tmp_path):
    files = index(tmp_path, "a/x.jpg", "A/x.jpg", "y.jpg", "Y.jpg")
    assert found(files, "A/x.jpg") == "A/x.jpg"
    assert found(files, "a/x.jpg") == "a/x.jpg"
    assert found(files, "Y.jpg") == "Y.jpg"


def test_a_row_of_an_absent_file_does_not_get_one_of_another_folder(tmp_path):
    files = index(tmp_path, "cats/1.jpg", "dogs/1.jpg", "dogs/2.jpg", "3.jpg", "a/img/4.jpg", "b/img/5.jpg")
    assert found(files, "cats/2.jpg") == NOT_THERE
    assert found(files, "data/cats/2.jpg") == NOT_THERE
    assert found(files, "cats/3.jpg") == NOT_THERE
    assert found(files, "b/img/4.jpg") == NOT_THERE
    assert found(files, "img/4.jpg") == "a/img/4.jpg"


def test_a_file_of_another_split_is_not_meant(tmp_path):
    files = index(tmp_path, "test/1.jpg", "all/2.jpg", "data/train/val/3.jpg")
    assert found(files, "train/1.jpg") == NOT_THERE
    assert found(files, "1.jpg") == "test/1.jpg"
    assert found(files, "1.jpg", folder="train") == NOT_THERE
    assert found(files, "train/2.jpg") == "all/2.jpg"
    assert found(files, "val/3.jpg") == "data/train/val/3.jpg"


def test_a_name_may_be_relative_to_the_folder_of_its_table(tmp_path):
    files = index(tmp_path, "train/1.jpg", "test/1.jpg", "train/sub/2.jpg", "test/sub/2.jpg", "1.jpg")
    assert found(files, "1.jpg", folder="train") == "train/1.jpg"
    assert found(files, "1.jpg", folder="test") == "test/1.jpg"
    assert found(files, "sub/2.jpg", folder="test") == "test/sub/2.jpg"
    assert found(files, "1.jpg") == "1.jpg"


def test_the_split_of_a_table_decides_between_files_alike_in_all_else(tmp_path):
    files = index(tmp_path, "train/1.jpg", "test/1.jpg", "test/2.jpg")
    assert found(files, "1.jpg") == SEVERAL
    assert found(files, "1.jpg", split="test") == "test/1.jpg"
    assert found(files, "2.jpg", split="train") == "test/2.jpg"


@pytest.mark.parametrize("many", [MANY, 1])
def test_very_many_files_of_one_name_are_found_alike(tmp_path, monkeypatch, many):
    monkeypatch.setattr("fastai_training.data.file_index.MANY", many)
    files = index(
        tmp_path,
        *(f"p{n}/{side}/images/eye.jpg" for n in range(6) for side in ("left", "right")),
        *("train/images/eye.jpg", "eye.jpg", "test/x.jpg", "a/x.jpg", "b/x.jpg"),
    )
    for name in ("p3/left/images/eye.jpg", "s3://b/in/p3/left/images/eye", "P3\\left\\images\\eye.jpg"):
        assert found(files, name) == "p3/left/images/eye.jpg"
    assert found(files, "train/images/eye.jpg") == "train/images/eye.jpg"
    assert found(files, "images/eye.jpg") == found(files, "val/images/eye.jpg") == SEVERAL
    assert found(files, "left/images/eye.jpg") == SEVERAL
    assert found(files, "p7/left/images/eye.jpg") == SEVERAL
    assert found(files, "p3/eye.jpg") == "eye.jpg"
    assert found(files, "eye.jpg") == "eye.jpg"
    assert found(files, "eye.jpg", folder="p2/right/images") == "p2/right/images/eye.jpg"
    assert found(files, "x.jpg") == found(files, "c/x.jpg") == SEVERAL
    assert found(files, "a/x.jpg", folder="test") == "a/x.jpg"


def test_a_link_to_a_file_is_another_name_of_it(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real/1.jpg").touch()
    (tmp_path / "other.jpg").symlink_to("real/1.jpg")
    assert found(FileIndex(read_tree(tmp_path)), "other.jpg") == "real/1.jpg"


def test_a_file_without_a_suffix_is_found(tmp_path):
    (tmp_path / "0a1b").touch()
    assert found(FileIndex(read_tree(tmp_path)), "0a1b") == "0a1b"


def test_a_match_says_how_much_of_the_name_agreed(tmp_path):
    files = index(tmp_path, "images/1.jpg")
    assert (files.match("images/1.jpg").agreed, files.match("images/1.jpg").whole) == (2, True)
    assert (files.match("x/1.jpg").agreed, files.match("x/1.jpg").whole) == (1, False)
    assert files.find("x/1.jpg") == (tmp_path / "images/1.jpg", "")
    assert files.find("x/2.jpg") == (None, NOT_THERE)
