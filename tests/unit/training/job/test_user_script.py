from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastai_container.paths import MLPaths
from fastai_training.config_files import decoded
from fastai_training.job.user_script import ScriptError, find_unnamed_code, program_of

VALUES = st.text(alphabet=st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"), max_size=30)


def test_the_program_is_named_by_hyperparameter_or_environment():
    assert program_of({"sagemaker_program": '"train.py"'}, {}) == "train.py"
    assert program_of({"sagemaker_program": "train.py"}, {}) == "train.py"
    assert program_of({}, {"SAGEMAKER_PROGRAM": "train.py"}) == "train.py"
    assert program_of({"epochs": "3"}, {}) == ""


def test_code_without_a_name_is_an_error(tmp_path: Path):
    paths = MLPaths(tmp_path)
    find_unnamed_code(paths, {})
    with pytest.raises(ScriptError, match="s3://bucket/code"):
        find_unnamed_code(paths, {"sagemaker_submit_directory": "s3://bucket/code"})
    paths.code.mkdir()
    (paths.code / "notes.txt").touch()
    find_unnamed_code(paths, {})
    (paths.code / "train.py").touch()
    with pytest.raises(ScriptError, match=r"train\.py"):
        find_unnamed_code(paths, {})


@given(VALUES)
def test_argparse_gets_every_value_back(value: str):
    pytest.importorskip("sagemaker_training", reason="needs the training extra")
    from fastai_training.job.user_script import arguments

    parser = argparse.ArgumentParser()
    parser.add_argument("--text")
    parser.add_argument("--other")
    given_arguments = arguments(decoded({"text": json.dumps(value), "other": '"x"'}))
    assert parser.parse_args(given_arguments).text == value
