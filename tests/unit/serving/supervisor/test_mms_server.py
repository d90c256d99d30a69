from __future__ import annotations

import dataclasses
import importlib
import re
from pathlib import Path

import pytest

from fastai_container.errors import UserError
from fastai_serving.environment import MB, Settings, WorkerSettings
from fastai_serving.supervisor import mms_server


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("MMS_JOB_QUEUE", "; did you mean MMS_JOB_QUEUE_SIZE?"),
        ("MMS_DEFAULT_WORKERS_PER_MODEL", "; set SAGEMAKER_MODEL_SERVER_WORKERS"),
        ("MMS_KEYSTORE", ""),
    ],
)
def test_a_key_of_multi_model_server_s_that_does_nothing_here_is_named(name, hint):
    assert mms_server.unused({name: "1"}) == [f"the environment variable {name} is not used{hint}"]
    assert mms_server.unused({name: " ", "MMS_JOB_QUEUE_SIZE": "5", "HOME": "/"}) == []


def test_only_the_supervisor_tells_workers_what_is_its_own(monkeypatch, tmp_path):
    for name in ("FASTAI_SAGEMAKER_SCRIPT", "FASTAI_SAGEMAKER_PACKAGES", "FASTAI_SAGEMAKER_SEAL"):
        monkeypatch.setenv(name, "/tmp/evil.py")
    told = mms_server.environment(Settings.from_environment({}), tmp_path, credentials=True)
    assert "/tmp/evil.py" not in told.values()


def test_a_workers_limits_are_those_of_the_start(tmp_path):
    settings = Settings.from_environment({"FASTAI_SAGEMAKER_PICTURE_MEMORY_MB": "77"})
    told = mms_server.environment(settings, tmp_path, credentials=False)
    assert WorkerSettings.from_environment(told).picture_bytes == 77 * MB
    assert WorkerSettings.from_environment(told).max_pixels == 100_000_000


def test_a_script_s_requests_are_batched_only_when_that_is_asked_for(tmp_path):
    settings = Settings.from_environment({})
    assert settings.script_batch_size == 1
    assert settings.batch_size > 1
    asked = Settings.from_environment({"FASTAI_SAGEMAKER_BATCH_SIZE": "5"})
    assert (asked.batch_size, asked.script_batch_size) == (5, 5)
    values = mms_server.plugin_properties(settings, tmp_path, tmp_path, tmp_path, script=True, preload=False)
    assert (values["fastai.script"], values["fastai.script_batch_size"]) == ("true", "1")


def test_multi_model_server_is_not_told_to_load_models_itself():
    mms_server.check_environment({})
    mms_server.check_environment({"MMS_LOAD_MODELS": " "})
    with pytest.raises(UserError, match="MMS_LOAD_MODELS is not obeyed"):
        mms_server.check_environment({"MMS_LOAD_MODELS": "all"})


@pytest.mark.parametrize(
    ("version", "trims"),
    [("17.0.8", False), ("17.0.9", True), ("17.0.21.1", True), ("18.0.2", False), ("21.0.1", True), ("25", True)],
)
def test_java_is_told_to_trim_only_where_it_can(tmp_path, version, trims):
    (tmp_path / "bin").mkdir()
    (tmp_path / "release").write_text(f'IMPLEMENTOR="x"\nJAVA_VERSION="{version}"\n')
    assert mms_server._trims(str(tmp_path / "bin" / "java")) is trims
    assert not mms_server._trims(str(tmp_path / "elsewhere" / "bin" / "java"))


def test_credentials_are_left_out(monkeypatch, tmp_path):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "x")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    settings = Settings.from_environment({})
    without = mms_server.environment(settings, tmp_path, credentials=False)
    assert "AWS_SECRET_ACCESS_KEY" not in without
    assert "AWS_CONTAINER_CREDENTIALS_FULL_URI" not in without
    assert without["AWS_REGION"] == "eu-west-1"
    assert mms_server.environment(settings, tmp_path, credentials=True)["AWS_SECRET_ACCESS_KEY"] == "x"


def test_the_management_api_has_no_address_of_its_own(tmp_path):
    settings = Settings.from_environment({})
    with_plugin = mms_server.configuration(settings, tmp_path, tmp_path, plugin=True)
    assert with_plugin["inference_address"] == with_plugin["management_address"]
    assert "load_models" not in with_plugin
    alone = mms_server.configuration(settings, tmp_path, tmp_path, plugin=False)
    assert alone["management_address"].startswith("unix:")


def test_a_model_is_loaded_before_the_fork_only_where_it_survives_one(tmp_path):
    settings = dataclasses.replace(Settings.from_environment({}), threads=1, gpus=0, multi_model=False)
    assert mms_server.preloads(settings, script=False)
    properties = mms_server.plugin_properties(settings, tmp_path, tmp_path, tmp_path, script=False, preload=True)
    assert properties["fastai.preload"] == "true"
    assert not mms_server.preloads(settings, script=True)
    for other in ({"threads": 2}, {"gpus": 1}, {"multi_model": True}):
        assert not mms_server.preloads(dataclasses.replace(settings, **other), script=False)


@pytest.mark.parametrize("multi_model", [False, True])
def test_the_plug_in_is_told_every_setting_and_has_no_default_of_its_own(tmp_path, multi_model):
    source = (mms_server.PLUGIN_SOURCES / "org" / "fastaisagemaker" / "mms" / "Settings.java").read_text()
    read = re.findall(r'\b(?:text|number|bytes)\("(\w+)"\)', source)
    settings = dataclasses.replace(Settings.from_environment({}), multi_model=multi_model)
    told = mms_server.plugin_properties(settings, tmp_path / "model", tmp_path, tmp_path, script=False, preload=True)
    assert sorted(told) == sorted(f"fastai.{name}" for name in read)
    assert told["fastai.model"] == ("" if multi_model else str(tmp_path / "model"))
    # Every other way to a system property would have, or allow, a value that Python doesn't know.
    assert re.findall(r"getProperty\(.*|get(?:Integer|Long|Boolean)\(.*", source) == ['getProperty("fastai." + name);']


def test_a_jvm_argument_wins_over_a_property_of_the_plug_in(monkeypatch, tmp_path: Path):
    monkeypatch.setattr(mms_server, "server_home", lambda: tmp_path)
    monkeypatch.setattr(mms_server, "find_java", lambda: "java")
    settings = dataclasses.replace(Settings.from_environment({}), jvm_arguments=("-Dfastai.idle=2",))
    command = mms_server.command(settings, tmp_path, tmp_path, {"fastai.idle": "75"})
    assert command.index("-Dfastai.idle=2") > command.index("-Dfastai.idle=75")


def test_a_properties_file_keeps_backslashes(tmp_path: Path):
    mms_server.write_properties(tmp_path / "p", {"load_models": "model=C:\\x", "port": "80"})
    assert (tmp_path / "p").read_text() == "load_models=model=C:\\\\x\nport=80\n"


def test_the_front_end_is_started_directly(monkeypatch, tmp_path: Path):
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    java.write_text("")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    assert mms_server.find_java() == str(java)
    monkeypatch.setattr(mms_server, "server_home", lambda: tmp_path / "home")
    settings = dataclasses.replace(Settings.from_environment({}), jvm_arguments=("-Xss1m",), heap_mb=99)
    alone = mms_server.command(settings, tmp_path, None, {})
    assert alone[:2] == [str(java), "-Xmx99m"]
    assert "-Xss1m" in alone
    assert "com.amazonaws.ml.mms.ModelServer" in alone
    ours = mms_server.command(settings, tmp_path, tmp_path / "plugin.jar", {"fastai.port": "80"})
    assert "-Dfastai.port=80" in ours
    assert ours[ours.index("-cp") + 1].startswith(f"{tmp_path}/plugin.jar:")
    assert "org.fastaisagemaker.mms.Server" in ours


def test_the_handler_is_where_multi_model_server_is_told():
    module, _, function = mms_server.HANDLER.partition(":")
    assert callable(getattr(importlib.import_module(module), function))


def test_no_java_says_what_to_install(monkeypatch, tmp_path: Path):
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setattr(mms_server.shutil, "which", lambda name: None)
    monkeypatch.setattr(mms_server.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="no Java runtime; install one"):
        mms_server.find_java()
    with pytest.raises(UserError, match="multi-model-server is not installed"):
        mms_server.server_home()
