"""Several tables, and columns that say the split or the group; only names matter, so the pictures are empty files."""

from __future__ import annotations

import pytest

from fastai_training.data.labels import DataError, Examples
from fastai_training.data.readers.reader import Asked
from fastai_training.data.sources import find_examples
from tests.unit.training.data.readers.test_manifest import labels, numbers, said, write


def splits(examples: Examples) -> dict[str, str]:
    return {item.path.relative_to(examples.root).as_posix(): item.split for item in examples.items}


def test_labels_with_blanks_and_is_valid(tmp_path):
    """As the samples of PASCAL and of the planet's pictures are."""
    names = numbers(tmp_path, 6)
    tags = ("chair", "person", "chair person")
    rows = [f"{name},{tags[n % 3]},{n >= 4}" for n, name in enumerate(names)]
    write(tmp_path, "train.csv", ["fname,labels,is_valid", *rows])
    found = find_examples(tmp_path)
    assert found.vocab == ["chair", "chair person", "person"]
    assert list(splits(found).values()) == ["train"] * 4 + ["valid"] * 2
    assert "set label_delim=' '" in said(found)
    with pytest.raises(DataError, match=r"several labels to 2 of 6 .*task=multi"):
        find_examples(tmp_path, Asked(label_delim=" "))


def test_a_column_says_which_pictures_are_for_testing(tmp_path):
    names = numbers(tmp_path, 6)
    parts = ("train", "train", "train", "val", "test", "test")
    rows = [f"{name},{'ab'[n % 2]},{parts[n]}" for n, name in enumerate(names)]
    write(tmp_path, "t.csv", ["file,label,split", *rows])
    assert list(splits(find_examples(tmp_path)).values()) == ["train"] * 3 + ["valid"] + ["test"] * 2


def test_a_fold_validates(tmp_path):
    names = numbers(tmp_path, 6)
    write(tmp_path, "t.csv", ["file,label,fold", *(f"{name},{'ab'[n % 2]},{n // 2}" for n, name in enumerate(names))])
    assert list(splits(find_examples(tmp_path)).values()) == ["valid"] * 2 + ["train"] * 4
    assert list(splits(find_examples(tmp_path, Asked(valid_fold="2"))).values()) == ["train"] * 4 + ["valid"] * 2
    with pytest.raises(DataError, match="no fold '7'"):
        find_examples(tmp_path, Asked(valid_fold="7"))


def test_settings_without_effect_are_said(tmp_path):
    names = numbers(tmp_path)
    write(tmp_path, "t.csv", ["file,label", *(f"{name},{'ab'[n % 2]}" for n, name in enumerate(names))])
    told = said(find_examples(tmp_path, Asked(valid_fold="1", min_label_confidence=0.5, label_delim="|")))
    for setting in (
        "valid_fold=1 has no effect",
        "min_label_confidence has no effect",
        "label_delim='|' has no effect",
    ):
        assert setting in told


def test_groups_are_a_column(tmp_path):
    names = numbers(tmp_path)
    rows = [f"{name},{'ab'[n % 2]},{'' if n == 3 else f'p{n // 2}'}" for n, name in enumerate(names)]
    write(tmp_path, "t.csv", ["file,label,patient", *rows])
    found = find_examples(tmp_path, Asked(group_column="patient"))
    assert [item.group for item in found.items] == ["p0", "p0", "p1", ""]
    assert "1 of 4 rows of t.csv have no group (patient)" in said(found)
    with pytest.raises(DataError, match=r"no column 'site' \(group_column\)"):
        find_examples(tmp_path, Asked(group_column="site"))


def test_a_table_in_the_folder_of_each_part(tmp_path):
    """Names that are relative to the table, and the same in each part."""
    for part in ("train", "valid", "test"):
        names = numbers(tmp_path, 4, f"{part}/")
        rows = [f"{name.rpartition('/')[2]},{n % 2},{1 - n % 2}" for n, name in enumerate(names)]
        write(tmp_path, f"{part}/_classes.csv", ["filename, cat, dog", *rows])
    found = find_examples(tmp_path)
    assert splits(found) == {f"{part}/{n}.jpg": part for part in ("train", "valid", "test") for n in range(4)}
    assert labels(found) == {
        f"{part}/{n}.jpg": ("dog", "cat")[n % 2] for part in ("train", "valid", "test") for n in range(4)
    }
    assert "train/_classes.csv is for train" in said(found)


def test_a_table_for_each_part(tmp_path):
    numbers(tmp_path, 6, "images/")
    write(tmp_path, "train.csv", ["id,species,label", "0,x,a", "1,y,b", "2,x,a"])
    write(tmp_path, "valid.csv", ["id,Label", "3,a", "4,b"])
    write(tmp_path, "test.csv", ["id,species", "5,x"])
    found = find_examples(tmp_path, Asked(label_column="label"))
    assert list(splits(found).values()) == ["train"] * 3 + ["valid"] * 2
    assert "test.csv is not used (its row)" in said(found)
    assert "1 pictures are not used" in said(found)


def test_tables_of_a_split_have_the_same_column_of_labels(tmp_path):
    numbers(tmp_path, 6)
    write(tmp_path, "train.csv", ["id,breed", "0,x", "1,y", "2,x"])
    write(tmp_path, "test.csv", ["id,species", "3,x", "4,y"])
    found = find_examples(tmp_path)
    assert (found.vocab, len(found.items)) == (["x", "y"], 3)
    assert "test.csv is not used (2 rows): it lacks the column breed of train.csv" in said(found)


def test_tables_of_a_split_with_names_that_recur(tmp_path):
    for part in ("train", "test"):
        numbers(tmp_path, 4, f"{part}/")
        write(
            tmp_path, f"{part}.csv", ["id,label", *(f"{n},{'ab'[n % 2] if part == 'train' else 'b'}" for n in range(4))]
        )
    found = find_examples(tmp_path)
    assert labels(found) == {f"train/{n}.jpg": "ab"[n % 2] for n in range(4)} | {f"test/{n}.jpg": "b" for n in range(4)}


def test_another_channel_does_not_take_the_rows_for_training(tmp_path):
    numbers(tmp_path / "pictures", 4)
    write(tmp_path / "l", "train.csv", ["file,label", *(f"{n}.jpg,a" for n in range(4))])
    write(tmp_path / "l", "valid.csv", ["file,label", *(f"{n}.jpg,b" for n in range(4))])
    found = find_examples(
        tmp_path / "pictures", labels=[tmp_path / "l/train.csv", tmp_path / "l/valid.csv"], known=["a", "b"]
    )
    assert set(labels(found).values()) == {"b"}
    assert "train.csv is not used: its 4 rows are of the part for training" in said(found)


def test_the_column_of_a_split_is_not_used_where_tables_are_one(tmp_path):
    numbers(tmp_path, 4)
    write(tmp_path, "train.csv", ["file,label,fold", "0.jpg,a,0", "1.jpg,b,1"])
    write(tmp_path, "valid.csv", ["file,label,fold", "2.jpg,a,0", "3.jpg,b,1"])
    found = find_examples(tmp_path)
    assert list(splits(found).values()) == ["train", "train", "valid", "valid"]
    assert "1 column of train.csv not used (fold)" in said(found)


def test_tables_that_could_both_be_meant_are_refused(tmp_path):
    numbers(tmp_path)
    for name in ("a.csv", "b.csv"):
        write(tmp_path, name, ["file,label", "0.jpg,a", "1.jpg,b"])
    with pytest.raises(DataError, match=r"several manifests .*a\.csv, b\.csv"):
        find_examples(tmp_path)
    found = find_examples(tmp_path, Asked(manifest="b.csv"))
    assert "1 tables are not used, since labels come from b.csv (a.csv)" in said(found)


def test_tables_beside_those_of_a_channel_of_labels_are_named(tmp_path):
    numbers(tmp_path / "pictures")
    write(tmp_path / "pictures", "old.csv", ["file,label", "0.jpg,x", "1.jpg,y"])
    write(tmp_path / "l", "new.csv", ["file,label", "0.jpg,a", "1.jpg,b"])
    found = find_examples(tmp_path / "pictures", labels=[tmp_path / "l/new.csv"])
    assert found.vocab == ["a", "b"]
    assert "1 tables are not used, since labels come from new.csv (old.csv)" in said(found)
