from __future__ import annotations

import re

import pytest

from fastai_serving.environment import (
    MB,
    SUPERVISOR_VARIABLES,
    USER_VARIABLES,
    SettingError,
    Settings,
    WorkerSettings,
    default_picture_mb,
    default_workers,
    heap_mb,
    held_mb,
    log_level,
    unused,
)
from tests.conftest import ROOT


def test_defaults():
    settings = Settings.from_environment({})
    assert (settings.port, settings.timeout_seconds, settings.max_payload_bytes) == (8080, 60, 6 * MB)
    assert settings.workers * settings.threads >= 1
    assert settings.batch_delay_ms == 0
    assert settings.body_seconds == 30
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
        ("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", "json"),
        ("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", "a/b\r\nX-Evil: 1"),
        ("FASTAI_SAGEMAKER_LOG_FORMAT", "xml"),
        ("FASTAI_SAGEMAKER_MAX_PIXELS", "0"),
        ("SAGEMAKER_MODEL_SERVER_WORKERS", "٣"),
        ("SAGEMAKER_MODEL_SERVER_WORKERS", "²"),
        ("SAGEMAKER_MODEL_SERVER_TIMEOUT", "9" * 5000),
        ("SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS", "1_0"),
        ("SAGEMAKER_STARTUP_TIMEOUT", "0x10"),
        ("FASTAI_SAGEMAKER_QUEUE_SIZE", "1" * 100_000),
        ("FASTAI_SAGEMAKER_BATCH_DELAY_MS", "+5"),
        ("FASTAI_SAGEMAKER_MODEL_MEMORY_MB", "1e3"),
        ("SAGEMAKER_MULTI_MODEL", "y"),
        ("SAGEMAKER_MULTI_MODEL", "2"),
        ("SAGEMAKER_MULTI_MODEL", "tru"),
        ("FASTAI_SAGEMAKER_WORKER_CREDENTIALS", "always"),
        ("MMS_MAX_RESPONSE_SIZE", "64MB"),
        ("FASTAI_SAGEMAKER_PICTURE_MEMORY_MB", "all"),
        ("FASTAI_SAGEMAKER_BODY_TIMEOUT", "0"),
        ("FASTAI_SAGEMAKER_BODY_TIMEOUT", "half an hour"),
    ],
)
def test_a_wrong_value_is_named(name, value):
    with pytest.raises(SettingError, match=name) as caught:
        Settings.from_environment({name: value})
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("1", True),
        ("YES", True),
        (" on ", True),
        ("True", True),
        ("true", True),
        ("0", False),
        ("no", False),
        ("OFF", False),
        ("False", False),
        ("", False),
        ("  ", False),
    ],
)
def test_every_usual_word_for_true_and_false(word, meant):
    assert Settings.from_environment({"SAGEMAKER_MULTI_MODEL": word}).multi_model is meant
    credentials = Settings.from_environment({"FASTAI_SAGEMAKER_WORKER_CREDENTIALS": word}).worker_credentials
    assert credentials is (meant if word.strip() else None)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("FASTAI_SAGEMAKER_BATCHSIZE", "; did you mean FASTAI_SAGEMAKER_BATCH_SIZE?"),
        ("FASTAI_SAGEMAKER_LOGFORMAT", "; did you mean FASTAI_SAGEMAKER_LOG_FORMAT?"),
        ("FASTAI_SAGEMAKER_ZZZ", ""),
        ("FASTAI_SAGEMAKER_SCRIPT", None),  # internal: a user's word for it isn't used
        ("SAGEMAKER_MODEL_SERVER_WORKER", "; did you mean SAGEMAKER_MODEL_SERVER_WORKERS?"),
        ("SAGEMAKER_MULTIMODEL", "; did you mean SAGEMAKER_MULTI_MODEL?"),
        ("SAGEMAKER_BATCH_SIZE", "; did you mean FASTAI_SAGEMAKER_BATCH_SIZE?"),
        ("SAGEMAKER_TS_MAX_BATCH_DELAY", ""),
    ],
)
def test_a_variable_that_is_not_used_is_named_with_the_nearest(name, hint):
    found = unused({name: "1", "HOME": "/"})
    assert len(found) == 1
    assert found[0].startswith(f"the environment variable {name} is not used")
    if hint is not None:
        assert found[0].endswith(f"is not used{hint}")


def test_what_sagemaker_itself_sets_is_not_named():
    own = "REGION BATCH BATCH_STRATEGY MAX_CONCURRENT_TRANSFORMS MAX_PAYLOAD_IN_MB SAFE_PORT_RANGE PROGRAM"
    own += " CONTAINER_LOG_LEVEL SUBMIT_DIRECTORY BASE_DIR BIND_TO_PORT MODEL_SERVER_TIMEOUT REQUIREMENTS JOB_NAME"
    assert unused({f"SAGEMAKER_{name}": "1" for name in own.split()} | {"SM_MODEL_DIR": "/", "AWS_REGION": "x"}) == []


def test_the_tables_hold_every_variable_of_ours_and_the_readme_each_of_a_users():
    readme = (ROOT / "serving" / "README.md").read_text()
    assert [name for name in USER_VARIABLES if f"`{name}`" not in readme] == []
    sources = [path for path in (ROOT / "serving").rglob("*") if path.suffix in (".py", ".java", ".xml")]
    assert len(sources) > 50
    named = {name for path in sources for name in re.findall(r"\bFASTAI_SAGEMAKER_[A-Z_]*[A-Z]\b", path.read_text())}
    assert named == USER_VARIABLES.keys() | SUPERVISOR_VARIABLES.keys() | {"FASTAI_SAGEMAKER_WEIGHTS"}


def test_every_setting_that_is_documented_is_known():
    documented = (ROOT / "serving" / "README.md").read_text() + (ROOT / "README.md").read_text()
    names = set(re.findall(r"`((?:FASTAI_)?SAGEMAKER_[A-Z_]+)`", documented))
    assert len(names) > 15
    assert unused(dict.fromkeys(names, "1")) == []


def test_how_large_an_answer_may_be():
    assert WorkerSettings.from_environment({}).max_response_bytes == 64 * MB
    assert WorkerSettings.from_environment({"SAGEMAKER_MAX_PAYLOAD_IN_MB": "100"}).max_response_bytes == 100 * MB
    assert WorkerSettings.from_environment({"MMS_MAX_RESPONSE_SIZE": "1000"}).max_response_bytes == 1000


def test_a_default_answer_that_only_a_script_can_give_is_refused_without_one():
    settings = WorkerSettings.from_environment({"SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT": "application/x-npy"})
    assert settings.default_accept == "application/x-npy"
    with pytest.raises(SettingError, match="SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT: can't answer as 'application/x-npy'"):
        settings.check_for_builtin()
    WorkerSettings.from_environment({"SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT": "text/csv"}).check_for_builtin()


def test_log_level():
    assert log_level({}) == "INFO"
    assert log_level({"SAGEMAKER_CONTAINER_LOG_LEVEL": "10"}) == "DEBUG"
    assert log_level({"SAGEMAKER_CONTAINER_LOG_LEVEL": "warning"}) == "WARNING"


def test_memory_decides_heap_and_workers():
    assert heap_mb(6, None) == 256
    assert heap_mb(100, None) == 432
    assert heap_mb(6, 512 * MB) == 85
    assert heap_mb(6, 64 * MB) == 64
    assert default_workers(8, 0, None, 256) == 8
    assert default_workers(8, 0, 768 * MB, 128) == 2
    assert default_workers(8, 0, 1024 * MB, 170) == 2
    assert default_workers(8, 0, 128 * MB, 64) == 1
    assert default_workers(8, 2, None, 256) == 2


def test_a_picture_may_take_what_is_left_of_a_workers_share():
    assert default_picture_mb(None, 256, 2) == 512
    assert default_picture_mb(64 * 1024 * MB, 256, 2) == 512, "a second or two of work, whatever the memory"
    assert default_picture_mb(2048 * MB, 256, 2) == 512
    assert default_picture_mb(1024 * MB, 170, 2) == (1024 - 170 - 128) // 2 - 192
    assert default_picture_mb(768 * MB, 128, 1) == 768 - 128 - 128 - 192
    assert default_picture_mb(128 * MB, 64, 1) == 112, "a telephone's JPEG is decoded whatever the memory"


def test_without_a_limit_the_free_memory_counts(monkeypatch):
    monkeypatch.setattr("fastai_serving.environment.free_memory_bytes", lambda: 700 * MB)
    monkeypatch.setattr("fastai_serving.environment.memory_limit_bytes", lambda: None)
    settings = Settings.from_environment({"SAGEMAKER_MODEL_SERVER_WORKERS": "1"})
    assert settings.picture_mb == 700 - settings.heap_mb - 128 - 192


@pytest.mark.parametrize("limit", [None, 64, 140, 256, 512, 768, 1024, 2048, 8192])
@pytest.mark.parametrize("payload", [1, 6, 20, 100, 1000])
def test_bodies_and_answers_fit_into_the_heap(payload, limit):
    if limit is not None and payload > 6 and 32 + 3 * payload > limit // 4:
        with pytest.raises(SettingError, match="at most") as refused:
            heap_mb(payload, limit * MB)
        payload = int(str(refused.value).partition("at most ")[2].partition(",")[0])
    heap = heap_mb(payload, limit and limit * MB)
    held = held_mb(heap)
    assert held >= payload, "the largest request never fits"
    # All bodies, half of them once more in batches that are just being answered, and all answers beside what the front
    # end has for itself; the collector uses nine tenths of the heap at most.
    assert 24 + held + held // 2 + held <= heap * 0.93
    assert limit is None or heap <= max(64, limit // 4)


def test_a_payload_that_does_not_fit_is_named():
    with pytest.raises(SettingError, match=r"SAGEMAKER_MAX_PAYLOAD_IN_MB=100: .* limit of 512 MB; set at most 32"):
        heap_mb(100, 512 * MB)
