"""Names from users' files in a log's line and in a spreadsheet's cell."""

from __future__ import annotations

import csv
import io
import re

import pytest

from fastai_training.metrics import definitions
from fastai_training.quoting import SHOWN, cell, csv_text, shown


@pytest.mark.parametrize("name", ["shiba_inu_1.jpg", "柴犬 1.jpg", "a=b.jpg", "epoch=one.jpg", "x" * SHOWN])
def test_ordinary_names_are_shown_as_they_are(name):
    assert shown(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "red\nfinal error_rate=0.0001 training_seconds=1.0",
        "epoch=1 train_loss=0.1 valid_loss=0.1 error_rate=0.0.jpg",
        "final error_rate=nan",
        "\x1b[2Jred.jpg",
        "red\r.jpg",
        "red\u2028.jpg",
        "red\udcff.jpg",
        "red\u202egpj.exe",
    ],
)
def test_a_name_is_one_line_and_no_metric(name):
    text = shown(name)
    assert text.isprintable()
    assert text.startswith("'")
    assert text.endswith("'")
    line = f"channel training: 1 pictures left out ({text}: not a picture)"
    assert not [entry for entry in definitions() if re.search(entry["Regex"], line)]


def test_a_long_name_is_cut():
    assert len(shown("y" * 10_000)) == SHOWN


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_no_cell_is_a_formula(start):
    assert cell(f"{start}cmd|' /C calc'!A0") == f"'{start}cmd|' /C calc'!A0"


def test_numbers_and_other_texts_are_left_alone():
    assert [cell(value) for value in (-1.5, 7, None, "red", "a=b")] == [-1.5, 7, None, "red", "a=b"]


def test_a_table_is_utf8_whatever_is_in_it():
    text = csv_text(["=name", "value"], [["red\udcff", -0.5], ["two\nlines, and a comma", 1]])
    assert list(csv.reader(io.StringIO(text, newline=""))) == [
        ["'=name", "value"],
        ["red?", "-0.5"],
        ["two\nlines, and a comma", "1"],
    ]
    text.encode("utf-8")
