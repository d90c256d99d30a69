from __future__ import annotations

import csv
import dataclasses
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
from fastai_training.reporting.evaluation import evaluate
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
    "notes": [{"channel": "training", "text": "1 table is not used", "example": EVIL}],
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


def test_the_test_set_has_a_section_of_its_own(run, tmp_path):
    write_report(tmp_path / "none", run)
    assert "Test set" not in (tmp_path / "none" / "report.html").read_text(encoding="utf-8")
    assert "test" not in json.loads((tmp_path / "none" / "report.json").read_text(encoding="utf-8"))
    wrong = np.eye(3)[[VOCAB.index("red")] * 4]
    summary = SUMMARY | {"metrics": SUMMARY["metrics"] | {"test_error_rate": 0.75}}
    items = [Example(Path(f"/t/{number}.jpg"), label) for number, label in enumerate(["red", EVIL, EVIL, "blue"])]
    tested = dataclasses.replace(run, summary=summary, test=evaluate(items, wrong, VOCAB))
    write_report(tmp_path / "out", tested)
    words = "".join(Page((tmp_path / "out" / "report.html").read_text(encoding="utf-8")).words)
    assert "75.00% of 4 pictures got a wrong class" in words
    assert "test error rate75.00%" in words
    content = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))["test"]
    assert (content["pictures"], content["error_rate"]) == (4, 0.75)
    assert [row["pictures"] for row in content["classes"]] == [2, 1, 1]
    assert content["confused_pairs"][0] == [EVIL, "red", 2]


def test_folds_have_a_section_of_their_own(run, tmp_path):
    write_report(tmp_path / "none", run)
    assert "Folds" not in (tmp_path / "none" / "report.html").read_text(encoding="utf-8")
    folds = {"error_rates": [0.1, 0.2], "mean": 0.15, "standard_deviation": 0.0707}
    write_report(tmp_path / "out", dataclasses.replace(run, summary=SUMMARY | {"folds": folds}))
    words = "".join(Page((tmp_path / "out" / "report.html").read_text(encoding="utf-8")).words)
    assert "15.00% wrong on average, with a standard deviation of 7.07 percentage points" in words
