from __future__ import annotations

import dataclasses

import pytest

from fastai_serving import server
from fastai_serving.settings import (
    MAX_PIXELS,
    MB,
    MIN_PIXELS,
    SettingError,
    Settings,
    default_max_pixels,
    default_workers,
    heap_mb,
    log_level,
)


def test_defaults():
    settings = Settings.from_environment({})
    assert (settings.port, settings.timeout_seconds, settings.max_payload_bytes) == (8080, 60, 6 * MB)
    assert settings.workers * settings.threads >= 1
    assert settings.batch_delay_ms == 0
    assert not settings.multi_model


def test_the_timeout_in_seconds_wins():
    environment = {"SAGEMAKER_MODEL_SERVER_TIMEOUT": "100", "SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS": "7"}
    assert Settings.from_environment(environment).timeout_seconds == 7
    del environment["SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS"]
    assert Settings.from_environment(environment).timeout_seconds == 100


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SAGEMAKER_BIND_TO_PORT", "0"),
        ("SAGEMAKER_BIND_TO_PORT", "65536"),
        ("SAGEMAKER_MODEL_SERVER_WORKERS", "-1"),
        ("SAGEMAKER_MAX_PAYLOAD_IN_MB", "6.5"),
        ("SAGEMAKER_CONTAINER_LOG_LEVEL", "loud"),
        ("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", "text/html"),
        ("FASTAI_SAGEMAKER_LOG_FORMAT", "xml"),
        ("FASTAI_SAGEMAKER_MAX_PIXELS", "0"),
    ],
)
def test_a_wrong_value_is_named(name, value):
    with pytest.raises(SettingError, match=name):
        Settings.from_environment({name: value})


def test_log_level():
    assert log_level({}) == "INFO"
    assert log_level({"SAGEMAKER_CONTAINER_LOG_LEVEL": "10"}) == "DEBUG"
    assert log_level({"SAGEMAKER_CONTAINER_LOG_LEVEL": "warning"}) == "WARNING"


def test_memory_decides_heap_workers_and_pixels():
    assert heap_mb(6, None) == 256
    assert heap_mb(100, None) == 464
    assert heap_mb(6, 512 * MB) == 85
    assert heap_mb(6, 64 * MB) == 64
    assert default_workers(8, 0, None, 256) == 8
    assert default_workers(8, 0, 1024 * MB, 170) == 3
    assert default_workers(8, 0, 128 * MB, 64) == 1
    assert default_workers(8, 2, None, 256) == 2
    assert default_max_pixels(None, 256, 2) == MAX_PIXELS
    assert default_max_pixels(512 * MB, 85, 1) == MIN_PIXELS + (235 * MB // 12 - MIN_PIXELS)
    assert default_max_pixels(128 * MB, 64, 1) == MIN_PIXELS


def test_credentials_are_left_out(monkeypatch, tmp_path):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "x")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    settings = Settings.from_environment({})
    without = server.environment(settings, tmp_path, credentials=False)
    assert "AWS_SECRET_ACCESS_KEY" not in without
    assert "AWS_CONTAINER_CREDENTIALS_FULL_URI" not in without
    assert without["AWS_REGION"] == "eu-west-1"
    assert server.environment(settings, tmp_path, credentials=True)["AWS_SECRET_ACCESS_KEY"] == "x"


def test_the_management_api_has_no_address_of_its_own(tmp_path):
    settings = Settings.from_environment({})
    with_plugin = server.configuration(settings, tmp_path, tmp_path, plugin=True)
    assert with_plugin["inference_address"] == with_plugin["management_address"]
    assert "load_models" not in with_plugin
    alone = server.configuration(settings, tmp_path, tmp_path, plugin=False)
    assert alone["management_address"].startswith("unix:")


def test_a_model_is_loaded_before_the_fork_only_where_it_survives_one(tmp_path):
    settings = dataclasses.replace(Settings.from_environment({}), threads=1, gpus=0, multi_model=False)
    assert server.preloads(settings, script=False)
    assert server.plugin_properties(settings, tmp_path, tmp_path, tmp_path, True)["fastai.preload"] == "true"
    assert not server.preloads(settings, script=True)
    for other in ({"threads": 2}, {"gpus": 1}, {"multi_model": True}):
        assert not server.preloads(dataclasses.replace(settings, **other), script=False)
