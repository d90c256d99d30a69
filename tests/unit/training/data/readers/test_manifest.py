from __future__ import annotations

import json
from pathlib import Path

import pytest

from fastai_training.data.labels import DataError, Examples
from fastai_training.data.readers.reader import Asked
from fastai_training.data.sources import find_examples
from tests.unit.training_data import write_pictures


def labels(examples):
    return {item.path.relative_to(examples.root).as_posix(): item.label for item in examples.items}


def test_a_manifest_wins(tmp_path):
    write_pictures(tmp_path / "images", 2)
    rows = ["File,Breed", "red_1.jpg,warm", "images/green_1.jpg,cold", "s3://bucket/some/where/blue_1.jpg,cold"]
    rows += ["gone_1.jpg,warm", "red_2.jpg,"]
    (tmp_path / "annotations.csv").write_text("\n".join(rows) + "\n")
    found = find_examples(tmp_path)
    assert labels(found) == {"images/red_1.jpg": "warm", "images/green_1.jpg": "cold", "images/blue_1.jpg": "cold"}
    assert sorted(found.skipped) == [
        ("gone_1.jpg", "named in annotations.csv but not there"),
        ("red_2.jpg", "no label in annotations.csv"),
    ]


def test_a_manifest_of_json_lines(tmp_path):
    write_pictures(tmp_path, 1)
    rows = [{"source-ref": "s3://b/red_1.jpg", "label": "a"}, {"source-ref": "s3://b/blue_1.jpg", "label": "b"}]
    (tmp_path / "labels.manifest").write_text("\n".join(json.dumps(row) for row in rows))
    assert labels(find_examples(tmp_path)) == {"red_1.jpg": "a", "blue_1.jpg": "b"}


def test_a_label_of_zero_is_a_label(tmp_path):
    write_pictures(tmp_path, 1)
    rows = [{"file": "red_1.jpg", "label": 0}, {"file": "blue_1.jpg", "label": 1}]
    (tmp_path / "labels.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    assert labels(find_examples(tmp_path)) == {"red_1.jpg": "0", "blue_1.jpg": "1"}


def test_a_picture_named_twice_in_a_manifest_counts_once(tmp_path):
    write_pictures(tmp_path, 1)
    (tmp_path / "labels.csv").write_text("file,label\nred_1.jpg,a\nred_1.jpg,a\nred_1.jpg,b\nblue_1.jpg,b\n")
    found = find_examples(tmp_path)
    assert labels(found) == {"red_1.jpg": "a", "blue_1.jpg": "b"}
    assert [why for _, why in found.skipped] == ["named twice in labels.csv"] * 2


def test_the_label_column_can_be_named(tmp_path):
    write_pictures(tmp_path, 1)
    (tmp_path / "labels.csv").write_text("file,label,size\nred_1.jpg,x,big\nblue_1.jpg,x,small\n")
    assert labels(find_examples(tmp_path, Asked(label_column="size"))) == {"red_1.jpg": "big", "blue_1.jpg": "small"}
    with pytest.raises(DataError, match="has no column 'colour'"):
        find_examples(tmp_path, Asked(label_column="colour"))


@pytest.mark.parametrize(
    ("content", "words"),
    [("file,label\n", "no rows"), ("a,b\n1,2\n", "columns for file and label"), ('{"file": ', "can't be read")],
)
def test_a_bad_manifest_is_told(tmp_path, content, words):
    write_pictures(tmp_path, 1)
    name = "m.jsonl" if content.startswith("{") else "m.csv"
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=words):
        find_examples(tmp_path, Asked("manifest"))


DEEP = "[" * 10_000 + "]" * 10_000


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("labels.jsonl", '{"file": "red_1.jpg", "label": ' + DEEP + "}", ["labels.jsonl", "line 1", "nested too deep"]),
        (
            "labels.jsonl",
            '{"file": "red_1.jpg", "label": ["red", "big"]}',
            ["several labels to 1 of 1", "red, big", "task=multi"],
        ),
        ("labels.jsonl", '{"file": "red_1.jpg", "label": {"name": "red"}}', ["an object as label"]),
        ("labels.jsonl", '{"file": "red_1.jpg", "label": "red"}\n{"file', ["line 2"]),
        ("labels.jsonl", DEEP, ["nested too deep"]),
        ("labels.csv", "file,label\nred_1.jpg," + "x" * 1000, ["label of 1,000 characters", "at most 200"]),
        ("labels.csv", "file,label\nred_1.jpg," + "x" * 200_000, ["labels.csv", "field"]),
        ("labels.csv", "file,label\nred_1.jpg,rot\xe9".encode("latin-1"), ["not UTF-8"]),
    ],
)
def test_a_manifest_of_other_things_is_a_sentence(tmp_path, name, content, words):
    write_pictures(tmp_path, 1)
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError) as raised:
        find_examples(tmp_path, Asked("manifest"))
    for word in words:
        assert word in str(raised.value)
    assert len(str(raised.value)) < 600
    assert str(raised.value).isprintable()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("name", ["labels.csv", "labels.jsonl"])
def test_manifests_with_a_byte_order_mark_are_read(tmp_path, encoding, name):
    write_pictures(tmp_path, 1)
    rows = [("red_1.jpg", "柴犬"), ("blue_1.jpg", "blå")]
    lines = ["file,label", *(",".join(row) for row in rows)]
    if name.endswith("jsonl"):
        lines = [json.dumps({"file": file, "label": label}, ensure_ascii=False) for file, label in rows]
    (tmp_path / name).write_text("\n".join(lines), encoding=encoding)
    assert find_examples(tmp_path).vocab == ["blå", "柴犬"]


def test_absurd_file_names_in_a_manifest_are_left_out(tmp_path):
    write_pictures(tmp_path, 1)
    rows = ["file,label", "red_1.jpg,red", "blue_1.jpg,blue", "x" * 300 + ".jpg,red", "a/" * 50_000 + "b.jpg,red"]
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    found = find_examples(tmp_path)
    assert found.vocab == ["blue", "red"]
    assert [why for _, why in found.skipped] == ["named in labels.csv but not there"] * 2


def test_names_with_line_ends_are_quoted_in_what_is_said(tmp_path):
    write_pictures(tmp_path, 1)
    (tmp_path / "a\nfinal error_rate=0.0.csv").write_text("file,label\nred_1.jpg,red\nblue_1.jpg,blue")
    assert find_examples(tmp_path).source.isprintable()
    (tmp_path / "b\n.csv").write_text("file,label\n")
    notes = find_examples(tmp_path, Asked("manifest")).notes
    assert any("has no rows" in note.text for note in notes)
    assert all(note.text.isprintable() for note in notes)


# ---- tables as users have them: only names matter, so the pictures are empty files


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def write(folder: Path, name: str, lines: list[str]) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("\n".join(lines) + "\n")


def said(examples: Examples) -> str:
    return "; ".join(f"{note.text} ({note.example})" for note in examples.notes)


def numbers(folder: Path, count: int = 4, below: str = "") -> list[str]:
    names = [f"{below}{number}.jpg" for number in range(count)]
    touch(folder, *names)
    return names


def test_a_table_of_pandas_with_its_index(tmp_path):
    names = numbers(tmp_path)
    write(tmp_path, "t.csv", [",file,level", *(f"{n},{name},{'ab'[n % 2]}" for n, name in enumerate(names))])
    found = find_examples(tmp_path)
    assert found.vocab == ["a", "b"]
    assert "1 column of t.csv not used (Unnamed: 0)" in said(found)


def test_an_index_is_not_the_files_where_another_column_names_more(tmp_path):
    """Pictures are called 0.jpg, as rows and labels are numbered."""
    touch(tmp_path, "0.jpg", "1.jpg", *(f"photo_{n}.jpg" for n in range(2, 8)))
    names = ["0.jpg", "1.jpg", *(f"photo_{n}.jpg" for n in range(2, 8))]
    lines = ["grp,which,label", *(f"{n % 2},{name},{n % 2}" for n, name in enumerate(names))]
    write(tmp_path, "t.csv", lines)
    assert labels(find_examples(tmp_path)) == {name: str(n % 2) for n, name in enumerate(names)}


def test_a_table_without_a_header_loses_no_row(tmp_path):
    names = numbers(tmp_path)
    write(tmp_path, "t.csv", [f"{name},{'ab'[n % 2]}" for n, name in enumerate(names)])
    assert labels(find_examples(tmp_path)) == {name: "ab"[n % 2] for n, name in enumerate(names)}
    write(tmp_path, "t.csv", [f"{name},1,1,{'ab'[n % 2]}" for n, name in enumerate(names)])
    with pytest.raises(DataError, match=r"no columns for file and label; its columns are 1, 2, 3, 4.*label_column"):
        find_examples(tmp_path)
    assert find_examples(tmp_path, Asked(label_column="4")).vocab == ["a", "b"]


def test_labels_that_are_words_for_columns_make_no_header(tmp_path):
    names = numbers(tmp_path)
    write(tmp_path, "t.csv", [f"{name},{'yn'[n % 2]}" for n, name in enumerate(names)])
    assert labels(find_examples(tmp_path)) == {name: "yn"[n % 2] for n, name in enumerate(names)}


def test_a_header_that_is_called_like_a_picture_is_a_header(tmp_path):
    names = numbers(tmp_path)
    touch(tmp_path, "image.jpg", "cat.jpg")
    write(tmp_path, "t.csv", ["image,cat,dog", *(f"{name},{n % 2},{1 - n % 2}" for n, name in enumerate(names))])
    found = find_examples(tmp_path)
    assert labels(found) == {name: ("dog", "cat")[n % 2] for n, name in enumerate(names)}
    assert "2 pictures are not used" in said(found)


def test_two_columns_of_one_name_are_refused(tmp_path):
    write(tmp_path, "t.csv", ["file,label,label", *(f"{name},a,b" for name in numbers(tmp_path))])
    with pytest.raises(DataError, match="column label twice"):
        find_examples(tmp_path)


def test_columns_in_letters_of_any_script(tmp_path):
    names = numbers(tmp_path, 6)
    write(tmp_path, "t.csv", ["图片,标签,年", *(f"{name},{'猫狗'[n % 2]},{2020 + n}" for n, name in enumerate(names))])
    found = find_examples(tmp_path, Asked(label_column="标签"))
    assert found.vocab == ["狗", "猫"]
    assert "1 column of t.csv not used (年)" in said(found)


def test_one_hot_columns_of_a_challenge(tmp_path):
    names = numbers(tmp_path)
    rows = [f"{name[:-4]},{1.0 if n % 2 else 0.0},{0.0 if n % 2 else 1.0},0.0" for n, name in enumerate(names)]
    write(tmp_path, "truth.csv", ["image,MEL,NV,UNK", *rows])
    found = find_examples(tmp_path)
    assert found.vocab == ["MEL", "NV"]
    assert found.source == "manifest truth.csv (column 3 columns)"


def test_a_table_in_which_labels_may_be_is_not_passed_over(tmp_path):
    """Names or folders would give other labels without a word."""
    touch(tmp_path, *(f"ham_{n}.jpg" for n in range(8)), *(f"isic_{n}.jpg" for n in range(8)))
    rows = [f"{name}_{n},{('nv', 'mel')[n % 2]},{30 + n}" for name in ("ham", "isic") for n in range(8)]
    write(tmp_path, "metadata.csv", ["picture,dx,age", *rows])
    write(tmp_path, "sizes.csv", ["picture,width,height", "ham_1,600,450"])
    with pytest.raises(
        DataError, match=r"metadata\.csv has no columns for file and label.*dx.*label_column.*label_from"
    ):
        find_examples(tmp_path)
    assert find_examples(tmp_path, Asked(label_column="dx")).vocab == ["mel", "nv"]
    assert find_examples(tmp_path, Asked("names")).vocab == ["ham", "isic"]


def test_a_table_of_sizes_beside_class_folders_is_said(tmp_path):
    for name in ("cats", "dogs"):
        numbers(tmp_path, 6, f"{name}/")
    write(tmp_path, "sizes.csv", ["file,width,height", *(f"cats/{n}.jpg,{600 + n % 2},450" for n in range(6))])
    found = find_examples(tmp_path)
    assert found.source == "folders"
    assert "sizes.csv is not used (its 6 rows): no column of it is known as that of labels" in said(found)


def test_paths_of_another_machine_and_rows_of_absent_files(tmp_path):
    numbers(tmp_path, 3, "cats/")
    numbers(tmp_path, 3, "dogs/")
    rows = [f"C:\\data\\{name}s\\{n}.jpg,{name}" for name in ("cat", "dog", "cow") for n in range(5)]
    write(tmp_path, "t.csv", ["path,label", *rows])
    found = find_examples(tmp_path)
    assert labels(found) == {f"{name}s/{n}.jpg": name for name in ("cat", "dog") for n in range(3)}
    assert "9 of 15 rows of t.csv name no file of the channel" in said(found)
    assert len(found.skipped) == 9


def test_annotations_of_coco_are_not_used_and_that_is_said(tmp_path):
    for name in ("cats", "dogs"):
        numbers(tmp_path, 2, f"{name}/")
    (tmp_path / "instances.json").write_text(json.dumps({"images": [], "annotations": [], "categories": []}))
    assert "instances.json is not used: it is in COCO's form" in said(find_examples(tmp_path))
    with pytest.raises(DataError, match=r"no table .*instances\.json; instances\.json is not used: .*COCO"):
        find_examples(tmp_path, Asked("manifest"))


@pytest.mark.parametrize("column", ["file", "which"])
def test_the_column_of_the_files_is_not_that_of_the_labels(tmp_path, column):
    write(tmp_path, "t.csv", [f"{column},label", *(f"{name},a" for name in numbers(tmp_path))])
    with pytest.raises(DataError, match="no column"):
        find_examples(tmp_path, Asked(label_column=column))


def test_a_sample_submission_alone_gives_no_labels(tmp_path):
    touch(tmp_path, *(f"train/{name}.{n}.jpg" for n in range(4) for name in ("cat", "dog")))
    write(tmp_path, "sampleSubmission.csv", ["id,label", *(f"{n},{n % 2}" for n in range(4))])
    numbers(tmp_path, 4, "test1/")
    found = find_examples(tmp_path)
    assert (found.source, found.vocab) == ("names", ["cat", "dog"])
    assert any("sampleSubmission.csv is not used: its 4 rows are a sample submission" in n.text for n in found.notes)
    assert find_examples(tmp_path, Asked("manifest")).vocab == ["0", "1"]


def test_a_table_of_few_of_many_rows_is_found(tmp_path):
    touch(tmp_path, "p7.jpg", "p901.jpg")
    write(tmp_path, "all.csv", ["which,label", *(f"p{n}.jpg,{'ab'[n % 2]}" for n in range(1000)), "p7.jpg,a"])
    touch(tmp_path, "p8.jpg")
    assert labels(find_examples(tmp_path)) == {"p7.jpg": "b", "p8.jpg": "a", "p901.jpg": "b"}


def test_a_table_of_other_things_need_not_be_clear(tmp_path):
    names = numbers(tmp_path)
    write(tmp_path, "t.csv", ["file,label", *(f"{name},{'ab'[n % 2]}" for n, name in enumerate(names))])
    write(tmp_path, "zoo.csv", ["id,breed,species", "x,pug,dog", "y,boxer,dog"])
    found = find_examples(tmp_path)
    assert found.vocab == ["a", "b"]
    assert "not used: zoo.csv has several columns of labels: breed, species" in said(found)


@pytest.mark.parametrize(
    ("header", "cell", "words"),
    [
        ("ImageId,EncodedPixels", "1 2 3 4", "holds masks (EncodedPixels)"),
        ("image,mask", "masks/{}.png", "holds masks (mask)"),
        ("image,label", "masks/{}.png", "holds names of pictures"),
        ("image,bbox,size", '"[1, 2, 3, 4]",5', "holds boxes (bbox)"),
    ],
)
def test_tables_of_other_tasks_are_refused(tmp_path, header, cell, words):
    names = numbers(tmp_path, 6)
    write(tmp_path, "train.csv", [header, *(f"{name},{cell.format(n)}" for n, name in enumerate(names))])
    with pytest.raises(DataError) as raised:
        find_examples(tmp_path)
    assert words in str(raised.value)
    assert "task=segmentation" in str(raised.value) or "object detection" in str(raised.value)


def test_masks_beside_labels_are_not_used_and_that_is_said(tmp_path):
    names = numbers(tmp_path, 4)
    write(tmp_path, "t.csv", ["image,label,mask", *(f"{name},{n % 2},masks/{n}.png" for n, name in enumerate(names))])
    found = find_examples(tmp_path)
    assert found.vocab == ["0", "1"]
    assert "1 column of t.csv not used (mask)" in said(found)


def test_folders_that_say_something_else_are_named(tmp_path):
    names = [*numbers(tmp_path, 4, "cats/"), *numbers(tmp_path, 4, "dogs/")]
    write(tmp_path, "t.csv", ["file,quality", *(f"{name},{('good', 'bad')[n % 2]}" for n, name in enumerate(names))])
    found = find_examples(tmp_path)
    assert found.vocab == ["bad", "good"]
    assert "the folders that pictures lie in (cats, dogs) are not used: 8 pictures have another label" in said(found)
    write(tmp_path, "t.csv", ["file,quality", *(f"{name},{name[:4]}" for name in names)])
    assert "folders" not in said(find_examples(tmp_path))
