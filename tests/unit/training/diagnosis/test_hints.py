from __future__ import annotations

from pathlib import Path

import pytest

from fastai_training.diagnosis.hints import hint

FASTAI_1 = "written for fastai 1"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ModuleNotFoundError: No module named 'fastai.callbacks'", FASTAI_1),
        ("ModuleNotFoundError: No module named 'fastai.conv_learner'", FASTAI_1),
        ("ImportError: cannot import name 'create_cnn' from 'fastai.vision.all' (/opt/…)", FASTAI_1),
        ("AttributeError: module 'fastai.vision' has no attribute 'ImageDataBunch'", FASTAI_1),
        ("NameError: name 'ImageDataBunch' is not defined", FASTAI_1),
        ("NameError: name 'create_cnn' is not defined", FASTAI_1),
        ("ModuleNotFoundError: No module named 'fastcore.transform'", "of fastai 2.7 or older"),
        (
            "RuntimeError: Loading model fname='x.pkl', attempted to import from `fastcore.dispatch` and/or "
            "`fastcore.transform` which are deprecated in `fastai>=2.8.0`.",
            "of fastai 2.7 or older",
        ),
        ("ModuleNotFoundError: No module named 'spacy'", "a line spacy into requirements.txt"),
        ("ModuleNotFoundError: No module named 'cv2'", "a line opencv-python-headless into requirements.txt"),
        ("ModuleNotFoundError: No module named 'no_such_package.sub'", "a line no_such_package into requirements.txt"),
        ("URLError: <urlopen error [Errno -3] Temporary failure in name resolution>", "a channel named weights"),
        ("LocalEntryNotFoundError: An error happened while trying to locate the file", "docker/weights"),
        (
            "OSError: [Errno 30] Read-only file system: '/opt/ml/input/data/training/models'",
            "/opt/ml/input/data/training/models is in an input channel, which can't be written",
        ),
        ("RuntimeError: File /opt/ml/input/data/training/export.pkl cannot be opened.", 'SM_MODEL_DIR"], "export.pkl"'),
        ("RuntimeError: Parent directory /opt/ml/input/data/training/models does not exist.", "input channel"),
    ],
)
def test_what_is_known_is_said(tmp_path: Path, text: str, words: str):
    assert words in hint(text, tmp_path)
    assert "\n" not in hint(text, tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ValueError: bad label",
        "NameError: name 'x' is not defined",
        "ModuleNotFoundError: No module named 'mine.deep'",
        "OSError: [Errno 30] Read-only file system: '/etc/hosts'",
        "KeyError: 'fastai.callbacks'",
    ],
)
def test_what_is_not_known_gets_no_hint(tmp_path: Path, text: str):
    (tmp_path / "mine").mkdir()
    assert hint(text, tmp_path) == ""


def test_an_undefined_name_below_fastai_1s_import_of_everything(tmp_path: Path):
    (tmp_path / "train.py").write_text("from fastai.vision import *\npath = untar_data(URLs.PETS)\n")
    assert FASTAI_1 in hint("NameError: name 'untar_data' is not defined", tmp_path)
    (tmp_path / "train.py").write_text("from fastai.vision.all import *\npath = untar_dat(URLs.PETS)\n")
    assert hint("NameError: name 'untar_dat' is not defined", tmp_path) == ""


def test_the_file_that_torch_hub_wanted_is_named(tmp_path: Path):
    line = 'Downloading: "https://download.pytorch.org/models/resnet34-b627a593.pth" to /tmp/.cache/torch/hub/x.pth'
    said = hint("URLError: <urlopen error [Errno -3]>", tmp_path, f"loss.txt\n{line}\nsaved model.pth")
    assert "resnet34-b627a593.pth can't be downloaded" in said
