from __future__ import annotations

import csv
import io
import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("matplotlib")

from fastai_training.data.labels import Example
from fastai_training.reporting.report import Run, write_report
from tests.unit.training_data import COLOURS, write_picture

EVIL = "<script>alert('x')</script> & \"co\" $x$"
VOCAB = sorted(["blue", EVIL, "red"])
SUMMARY = {
    "metrics": {"error_rate": 0.5, "balanced_accuracy": 0.4567, "tta_error_rate": 0.25, "valid_loss": float("nan")},
    "training_pictures": 30,
    "exported_epoch": 7,
    "validation_pictures": 4,
    "left_out": 1,
    "labels_from": "folders",
    "pretrained_weights": None,
    "training_seconds": 12.3,
    "hyperparameters": {"arch": "resnet18", "label_column": EVIL},
    "versions": {"torch": "2.13.0"},
    "program": {
        "precision": "int8",
        "scored_pictures": 4,
        "scores": {"int8": {"error_rate": 0.5, "agreement": 1.0, "milliseconds": 4.2}},
    },
}


class Page(HTMLParser):
    """Tags, and every attribute that could fetch something."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.sources: list[str] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.sources += [value for name, value in attributes if name in ("src", "href", "srcset", "action")]
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


@pytest.fixture
def run(tmp_path):
    root = tmp_path / "data"
    odd = os.fsdecode(b"caf\xe9_1.jpg")
    paths = [write_picture(root / name, COLOURS["red"]) for name in ("a_1.jpg", "<b>_2.jpg", "c_3.jpg", odd)]
    labels = ["red", EVIL, "blue", "red"]
    wrong = VOCAB.index(EVIL)
    rows = np.full((4, 3), 0.1)
    rows[0, VOCAB.index("red")] = 0.8
    rows[1, wrong] = 0.8
    rows[2, wrong] = 0.6
    rows[3, wrong] = 0.9
    history = [
        {"epoch": n, "train_loss": 1 / n, "valid_loss": float("nan"), "error_rate": 0.5, "seconds": 2.0} for n in (1, 2)
    ]
    return Run(
        root,
        [Example(path, label) for path, label in zip(paths, labels, strict=True)],
        rows,
        VOCAB,
        history,
        [("training", EVIL, "not a picture")],
        SUMMARY,
        {"red": 20, "blue": 10},
    )


def test_the_page_is_whole_escaped_and_fetches_nothing(run, tmp_path):
    write_report(tmp_path / "out", run)
    text = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    assert page.open == []
    assert "script" not in page.tags
    assert page.tags.count("img") == 4
    assert all(source.startswith("data:image/") for source in page.sources)
    assert "url(" not in text
    assert not re.search(r"https?://", text)
    assert EVIL in "".join(page.words)
    for words in (
        "resnet18",
        "2.13.0",
        "not a picture",
        "12 s",
        "int8 (served)",
        "50.00%",
        "balanced accuracy",
        "45.67%",
        "25.00%",
        "exported epoch7",
    ):
        assert words in "".join(page.words), words


def test_the_same_is_there_as_files(run, tmp_path):
    folder = tmp_path / "out"
    write_report(folder, run)
    for name in ("curves", "confusion", "mistakes"):
        with Image.open(io.BytesIO((folder / f"{name}.png").read_bytes())) as image:
            assert image.format == "PNG"
            assert min(image.size) > 100
    content = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    assert content["history"][0]["valid_loss"] is None
    assert len(content["mistakes"]) == 2
    with (folder / "classes.csv").open(newline="", encoding="utf-8") as file:
        assert [row["class"] for row in csv.DictReader(file)] == VOCAB
    with (folder / "confusion.csv").open(newline="", encoding="utf-8") as file:
        assert len(list(csv.reader(file))) == 4


def test_without_mistakes_or_left_out_files(run, tmp_path):
    perfect = np.eye(3)[[VOCAB.index(item.label) for item in run.valid]]
    clean = Run(run.root, run.valid, perfect, VOCAB, run.history, [], SUMMARY, {})
    write_report(tmp_path / "out", clean)
    text = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "Left out: none" in text
    assert not (tmp_path / "out" / "mistakes.png").exists()


def test_a_picture_that_is_gone_is_no_obstacle(run, tmp_path):
    run.valid[3].path.unlink()
    write_report(tmp_path / "out", run)
    assert Page((tmp_path / "out" / "report.html").read_text(encoding="utf-8")).tags.count("img") == 3


def test_many_classes_are_drawn(tmp_path):
    vocab = [f"class {number} with a long name to be cut" for number in range(200)]
    items = [Example(Path("/none/a.jpg"), name) for name in vocab]
    probabilities = np.roll(np.eye(200), 1, axis=1)
    write_report(tmp_path, Run(Path("/none"), items, probabilities, vocab, [], [], SUMMARY, {}))
    assert (tmp_path / "report.html").stat().st_size < 3_000_000
