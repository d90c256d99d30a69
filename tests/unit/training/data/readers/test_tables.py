from __future__ import annotations

import json
from pathlib import Path

import pytest

from fastai_training.data.labels import DataError
from fastai_training.data.readers.tables import NotATableError, Table, read_table, without_header


def table(folder: Path, name: str, content: str | bytes) -> Table:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_table(path)


def refused(folder: Path, name: str, content: str | bytes) -> str:
    with pytest.raises(DataError) as raised:
        table(folder, name, content)
    assert str(raised.value).isprintable()
    assert len(str(raised.value)) < 600
    return str(raised.value)


@pytest.mark.parametrize(
    "content",
    [
        "file,label\na.jpg,x\nb.jpg,y\n",
        "file,label\r\na.jpg,x\r\nb.jpg,y\r\n",
        "file,label\ra.jpg,x\rb.jpg,y\r",
        "\ufefffile,label\na.jpg,x\nb.jpg,y",
        "file;label\na.jpg;x\nb.jpg;y\n",
        "file\tlabel\na.jpg\tx\nb.jpg\ty\n",
        "file|label\na.jpg|x\nb.jpg|y\n",
        "file, label\na.jpg, x\nb.jpg, y\n",
        '"file","label"\n"a.jpg","x"\n"b.jpg","y"\n',
        "sep=;\nfile;label\na.jpg;x\nb.jpg;y\n",
        '"sep=,"\nfile,label\na.jpg,x\nb.jpg,y\n',
        "file,label,,\na.jpg,x,,\nb.jpg,y,,\n,,,\n",
        "\n\nfile,label\na.jpg,x\n\nb.jpg,y\n\n",
    ],
)
def test_tables_of_any_program_are_read_alike(tmp_path, content):
    read = table(tmp_path, "t.csv", content)
    assert {name: [one.strip() for one in column] for name, column in read.columns.items()} == {
        "file": ["a.jpg", "b.jpg"],
        "label": ["x", "y"],
    }
    assert read.rows == 2


def test_the_delimiter_is_what_cuts_every_line_alike(tmp_path):
    decimals = table(tmp_path, "t.csv", "a.jpg;1,5;2,5\nb.jpg;3,5;4,5\n")
    assert decimals.header == ["a.jpg", "1,5", "2,5"]
    words = table(tmp_path, "t.csv", "file;label, in words\na.jpg;cat\nb.jpg;dog, big\n")
    assert words.columns == {"file": ["a.jpg", "b.jpg"], "label, in words": ["cat", "dog, big"]}
    assert list(table(tmp_path, "t.csv", "file\na;b.jpg\n").columns) == ["file"]


def test_quoted_cells_hold_delimiters_quotes_and_line_ends(tmp_path):
    read = table(tmp_path, "t.csv", 'file,label\n"a,1.jpg","big ""red""\ncat"\nb.jpg,5" pipe\n')
    assert read.columns == {"file": ["a,1.jpg", "b.jpg"], "label": ['big "red"\ncat', '5" pipe']}


def test_a_quote_that_is_not_closed_swallows_no_rows(tmp_path):
    assert "line 3" in refused(tmp_path, "t.csv", 'file,label\na.jpg,x\nb.jpg,"y\nc.jpg,x\nd.jpg,y\n')
    assert "line 2" in refused(tmp_path, "t.csv", 'file,label\nb.jpg,"y\nc.jpg,"x"\n')


def test_columns_without_a_name_are_called_as_pandas_calls_them(tmp_path):
    read = table(tmp_path, "t.csv", ",file,label\n0,a.jpg,x\n1,b.jpg,y\n")
    assert list(read.columns) == ["Unnamed: 0", "file", "label"]


def test_a_name_that_two_columns_have_is_refused_when_asked(tmp_path):
    read = table(tmp_path, "t.csv", "file,label,label\na.jpg,x,y\n")
    with pytest.raises(DataError, match=r"t\.csv has the column label twice"):
        read.refuse_twice()
    table(tmp_path, "t.csv", "file,label\na.jpg,x\n").refuse_twice()


def test_the_first_line_can_be_a_row(tmp_path):
    read = without_header(table(tmp_path, "t.csv", "a.jpg,1,1,\nb.jpg,0,1,x\n"))
    assert read.columns == {"1": ["a.jpg", "b.jpg"], "2": ["1", "0"], "3": ["1", "1"], "4": ["", "x"]}
    assert (read.rows, read.headless) == (2, True)


def test_short_rows_have_no_value_and_long_ones_are_refused(tmp_path):
    assert table(tmp_path, "t.csv", "file,label\na.jpg\nb.jpg,y\n").columns["label"] == [None, "y"]
    assert "3 cells in line 3, its header 2" in refused(tmp_path, "t.csv", "file,label\na.jpg,x\nb.jpg,y,z\n")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("t.csv", b"file,label\na.jpg,x\0y\n", "zero bytes"),
        ("t.csv", "file,label\na.jpg,x\n".encode("utf-16-le"), "zero bytes"),
        ("t.jsonl", '{"file": "a"}\n'.encode("utf-16-le"), "zero bytes"),
        ("t.csv", "file,label\na.jpg,thé\n".encode("cp1252"), "save it as UTF-8"),
        ("t.csv", "file,mask\na.jpg," + "1 2 " * 50_000, "remove the column of such long cells"),
        ("t.csv", "file,label\na.jpg,x\nb.jpg,'y" + '"' + "\nc.jpg," + '"y"z\n', "line 4"),
        ("t.jsonl", '{"file": "a", "label": "x"}\n{"file": "a", "label": "x", "label": "y"}\n', "'label' twice"),
        ("t.jsonl", '[{"file": "a", "label": "x"}]\n', "rows that are no objects"),
        ("t.jsonl", '{"file": "a"}\n["a"]\n', "rows that are no objects"),
        ("t.json", '[{"file": "a"}, {"file": ]', "can't be read"),
        ("t.json", "", "can't be read"),
    ],
)
def test_a_broken_table_is_told(tmp_path, name, content, words):
    message = refused(tmp_path, name, content)
    assert words in message
    assert name in message


def test_json_lines_and_lists_are_read_alike(tmp_path):
    rows = [{"file": "a.jpg", "label": 0}, {"file": "b.jpg", "size": 2.5}, {"label": None, "file": "c.jpg"}]
    lines = "\n".join(json.dumps(row) for row in rows)
    contents = {"t.jsonl": lines, "u.json": lines, "v.json": json.dumps(rows, indent=1), "w.manifest": lines + "\n\n"}
    for name, content in contents.items():
        read = table(tmp_path, name, content)
        assert read.columns == {
            "file": ["a.jpg", "b.jpg", "c.jpg"],
            "label": [0, None, None],
            "size": [None, 2.5, None],
        }


def test_a_line_end_in_a_text_of_json_parts_no_row(tmp_path):
    rows = [{"file": "a.jpg", "label": "x\u2028y"}, {"file": "b.jpg", "label": "z"}]
    lines = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    for name in ("t.json", "t.jsonl"):
        assert table(tmp_path, name, lines).columns["label"] == ["x\u2028y", "z"]


def test_pandas_nan_is_no_value(tmp_path):
    read = table(tmp_path, "t.jsonl", '{"file": "a.jpg", "label": NaN}\n{"file": "b.jpg", "label": "x"}\n')
    assert read.columns["label"] == [None, "x"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"images": [], "annotations": [], "categories": []}, "COCO"),
        ({"1": "pink primrose"}, "no list of rows"),
        ({"file": {"0": "a.jpg"}, "label": {"0": "x"}}, "no list of rows"),
        (["a.jpg", "b.jpg"], "no objects"),
        ("text", "no list of rows"),
        ([{f"{n}.jpg": "cat"} for n in range(6000)], "more than 5,000 names"),
    ],
)
def test_json_that_is_no_table_is_said(tmp_path, content, words):
    with pytest.raises(NotATableError, match=words):
        table(tmp_path, "t.json", json.dumps(content))


def test_texts_of_a_column_are_cells_of_one_text_each(tmp_path):
    read = table(tmp_path, "t.jsonl", '{"a": 0, "b": [1]}\n{"a": true, "b": {}}\n{"a": " x "}\n{}\n{"a": "\\ud800"}\n')
    assert read.texts("a") == ["0", "True", "x", "", "?"]
    with pytest.raises(DataError, match=r"t\.jsonl has a list as b"):
        read.texts("b")


def test_an_empty_file_has_no_rows(tmp_path):
    for name in ("t.csv", "t.jsonl"):
        assert table(tmp_path, name, "").rows == 0
