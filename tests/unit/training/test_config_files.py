from __future__ import annotations

import json

import pytest

from fastai_training.config_files import (
    ConfigFileError,
    decoded,
    decoded_value,
    read_hyperparameters,
    read_input_channels,
    read_resources,
)


def test_values_are_decoded_or_left_as_they_are():
    given_values = {"a": "3", "b": '"3"', "c": "resnet34", "d": "[1]", "e": "007", "f": ""}
    assert decoded(given_values) == {"a": 3, "b": "3", "c": "resnet34", "d": [1], "e": "007", "f": ""}


@pytest.mark.parametrize("value", [None, 3, ["a"], {"a": 1}, "[" * 1000])
def test_what_is_no_json_text_stays_as_it_is(value):
    assert decoded_value(value) == value


def test_without_files_there_is_one_host_and_nothing_else(tmp_path):
    assert read_hyperparameters(tmp_path) == read_input_channels(tmp_path) == {}
    assert read_resources(tmp_path) == {"current_host": "algo-1", "hosts": ["algo-1"]}


def test_files_are_read_as_they_stand(tmp_path):
    resources = {"current_host": "b", "hosts": ["b", "a"], "current_instance_type": "ml.m5.xlarge"}
    contents = {"hyperparameters": {"epochs": "3"}, "resourceconfig": resources, "inputdataconfig": {"training": {}}}
    for name, content in contents.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    assert read_hyperparameters(tmp_path) == {"epochs": "3"}
    assert read_input_channels(tmp_path) == {"training": {}}
    assert read_resources(tmp_path) == resources


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"hosts": ["a", 1], "current_host": "a"}'])
def test_hosts_that_can_not_be_read_are_no_hyperparameters_error(tmp_path, text):
    (tmp_path / "resourceconfig.json").write_text(text)
    with pytest.raises(ConfigFileError, match=r"resourceconfig\.json .*current_host.* hosts"):
        read_resources(tmp_path)
