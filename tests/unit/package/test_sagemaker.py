"""The public package from the outside: its surface, its documentation, and that it needs no torch to be imported."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

import fastai_sagemaker
from tests.documented import DOCUMENT, READ, WITHOUT, run


def test_everything_public_is_documented():
    for name in fastai_sagemaker.__all__:
        assert re.search(rf"`{name}\b", DOCUMENT), f"{name} is not in docs/python.md"
        assert hasattr(fastai_sagemaker, name)
        assert name == "__version__" or inspect.getdoc(getattr(fastai_sagemaker, name))


def test_everything_documented_is_public():
    for name, parameters in re.findall(r"^`(\w+)\((.*)\) -> \S+`$", DOCUMENT, re.MULTILINE):
        call = getattr(fastai_sagemaker, name)
        assert name in fastai_sagemaker.__all__
        wanted = [part.split("=")[0].strip("* ") for part in parameters.split(",") if part.strip() != "*"]
        assert list(inspect.signature(call).parameters) == wanted
        assert f"### {name}\n" in DOCUMENT
    assert set(dir(fastai_sagemaker)) == set(fastai_sagemaker.__all__)
    with pytest.raises(AttributeError, match="no attribute 'export'"):
        fastai_sagemaker.export  # noqa: B018


def test_importing_it_imports_nothing_heavy():
    heavy = {"numpy", "PIL", "torch", "fastai", "openvino"}
    assert run(f"import sys, fastai_sagemaker; print(sorted({heavy} & set(sys.modules)))").stdout == "[]\n"


def test_the_documented_snippets_train_and_predict(model: Path, pictures: Path, tmp_path: Path):
    code = f"import os; os.chdir({str(tmp_path)!r})\n" + READ
    (tmp_path / "model").symlink_to(model)
    (tmp_path / "picture.jpg").write_bytes((pictures / "light" / "0.png").read_bytes())
    # OpenVINO alone predicts, as in the serving image
    done = run(WITHOUT.format(lacking={"torch", "fastai", "fastai_training"}) + code)
    assert done.returncode == 0, done.stderr[-2000:]
    manifest, prediction = done.stdout.splitlines()
    assert manifest.startswith("resnet18 96 ['dark', 'light'] {'valid_loss': ")
    assert prediction.startswith("light ")
