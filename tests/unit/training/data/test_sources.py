from __future__ import annotations

import dataclasses
import json

import pytest

from fastai_training.data.labels import DataError
from fastai_training.data.readers import READERS
from fastai_training.data.readers.reader import Asked
from fastai_training.data.sources import find_examples
from fastai_training.hyperparameters import HyperParameters
from tests.fixtures.record_files import write_records
from tests.unit.training_data import COLOURS, write_picture, write_pictures

GROUND_TRUTH = "groundtruth/image-classification"


def test_hidden_files_and_folders_are_no_pictures(tmp_path):
    write_pictures(tmp_path, 2)
    write_picture(tmp_path / "._red_3.jpg", COLOURS["red"])
    write_picture(tmp_path / "__MACOSX" / "red_4.jpg", COLOURS["red"])
    write_picture(tmp_path / ".cache" / "red_5.jpg", COLOURS["red"])
    assert len(find_examples(tmp_path).items) == 6


def test_an_empty_folder_says_what_a_picture_is(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(DataError, match=r"it holds notes\.txt.*\.jpg"):
        find_examples(tmp_path)


def test_one_class_is_too_few(tmp_path):
    write_pictures(tmp_path, 3, ("red",))
    with pytest.raises(DataError, match="only the class 'red'"):
        find_examples(tmp_path)


def test_every_reader_is_a_choice_of_the_hyperparameter():
    field = next(field for field in dataclasses.fields(HyperParameters) if field.name == "label_from")
    assert set(field.metadata["choices"]) == {"auto", *READERS}
    assert all(f"`{name}`" in field.metadata["doc"] for name in READERS)


@pytest.mark.parametrize("name", READERS)
def test_a_reader_that_is_asked_for_is_taken(tmp_path, name):
    write_pictures(tmp_path / "cat", 2)
    write_pictures(tmp_path / "dog", 2)
    (tmp_path / "labels.csv").write_text("file,label\ncat/red_1.jpg,warm\ndog/blue_1.jpg,cold\n")
    (tmp_path / "train.lst").write_text("0\t0.0\tcat/red_1.jpg\n1\t1.0\tcat/blue_1.jpg\n")
    rows = [
        {"source-ref": f"s3://b/{file}", "job": n, "job-metadata": {"class-name": label, "type": GROUND_TRUTH}}
        for n, (file, label) in enumerate((("cat/red_1.jpg", "glad"), ("dog/blue_1.jpg", "sad")))
    ]
    (tmp_path / "output.manifest").write_text("".join(json.dumps(row) + "\n" for row in rows))
    pictures = [(n, [n], (tmp_path / f"{folder}/red_1.jpg").read_bytes()) for n, folder in enumerate(("cat", "dog"))]
    write_records(tmp_path / "train.rec", [(number + 10, labels, picture) for number, labels, picture in pictures])
    vocab = {
        "names": ["blue", "green", "red"],
        "folders": ["cat", "dog"],
        "manifest": ["cold", "warm"],
        "ground_truth": ["glad", "sad"],
        "lst": ["0", "1"],
        "recordio": ["0", "1"],
    }
    found = find_examples(tmp_path, Asked(name))
    assert found.vocab == vocab[name]
    assert found.source.startswith(name)


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match=r"there is no folder .*none"):
        find_examples(tmp_path / "none")


def test_a_setting_that_the_labels_source_knows_nothing_of_is_named(tmp_path):
    for name in ("cat", "dog"):
        write_pictures(tmp_path / name, 2)
    asked = Asked("folders", label_column="breed", valid_fold="1", class_folder="last", min_label_confidence=0.5)
    told = [note.text for note in find_examples(tmp_path, asked).notes]
    assert told == [
        "label_column=breed has no effect: labels come from folders",
        "min_label_confidence=0.5 has no effect: labels come from folders",
        "valid_fold=1 has no effect: labels come from folders",
    ]


def test_a_column_that_was_named_goes_before_a_list_that_knows_none(tmp_path):
    write_pictures(tmp_path, 2)
    (tmp_path / "train.lst").write_text("0\t0\tred_1.jpg\n1\t1\tblue_1.jpg\n")
    (tmp_path / "t.csv").write_text("file,kind\nred_1.jpg,warm\nblue_1.jpg,cold\n")
    assert find_examples(tmp_path).source.startswith("lst")
    assert find_examples(tmp_path, Asked(label_column="kind")).vocab == ["cold", "warm"]
