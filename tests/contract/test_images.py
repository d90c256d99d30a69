"""What the images are: their size, what they hold and what they don't."""

from __future__ import annotations

import docker
import pytest

from tests.contract.conftest import SERVING_IMAGE, TRAINING_IMAGE
from tests.waiting import PATIENCE

pytestmark = pytest.mark.engine

#: Bytes, unpacked.
MOST_BYTES = {SERVING_IMAGE: 450_000_000, TRAINING_IMAGE: 2_400_000_000}


def run(engine: docker.DockerClient, image: str, *command: str, **options: object) -> str:
    return engine.containers.run(image, list(command), remove=True, network_mode="none", **options).decode()


@pytest.mark.parametrize("image", [SERVING_IMAGE, TRAINING_IMAGE])
def test_size(engine, image):
    assert engine.images.get(image).attrs["Size"] <= MOST_BYTES[image]


@pytest.mark.parametrize("image", [SERVING_IMAGE, TRAINING_IMAGE])
def test_labels_and_entry_point(engine, image):
    config = engine.images.get(image).attrs["Config"]
    assert config["Labels"]["com.amazonaws.sagemaker.capabilities.accept-bind-to-port"] == "true"
    assert config["Labels"]["com.amazonaws.sagemaker.capabilities.multi-models"] == "true"
    for name in ("title", "version", "revision", "created", "licenses"):
        assert config["Labels"][f"org.opencontainers.image.{name}"]
    assert config["Entrypoint"][0].startswith("/"), "exec form: a shell would swallow signals"
    assert config["Cmd"] in (["serve"], ["train"])


@pytest.mark.parametrize("image", [SERVING_IMAGE, TRAINING_IMAGE])
def test_no_compiler_no_cache_no_test_tool(engine, image):
    script = (
        "for program in gcc cc javac make git pytest uv; do command -v $program; done;"
        "ls -d /root/.cache /opt/tools /var/lib/apt/lists/*_* 2>/dev/null; true"
    )
    assert run(engine, image, "sh", "-c", script) == ""


@pytest.mark.parametrize("image", [SERVING_IMAGE, TRAINING_IMAGE])
def test_no_program_lends_rights_and_no_file_is_anybodys_to_write(engine, image):
    script = r"find / -xdev \( -type f -perm /6000 -o ! -type l -perm -0002 \) -print"
    found = run(engine, image, "sh", "-c", script, user="0").split()
    assert set(found) <= {"/tmp", "/var/tmp", "/run/lock"}


@pytest.mark.parametrize("image", [SERVING_IMAGE, TRAINING_IMAGE])
def test_no_package_asks_for_what_was_left_out(engine, image):
    assert run(engine, image, "python3", "-m", "pip", "check").strip() == "No broken requirements found."
    # What was changed for that says so, and its record is that of its files.
    script = (
        "import importlib.metadata as m;"
        "parts = [d for d in m.distributions() if any(f.name == 'LEFT-OUT.txt' for f in d.files or ())];"
        "files = [f for d in parts for f in d.files if f.name in ('LEFT-OUT.txt', 'METADATA')];"
        "import base64, hashlib;"
        "digest = lambda f: base64.urlsafe_b64encode(hashlib.sha256(f.read_binary()).digest()).decode().rstrip('=');"
        "wrong = [str(f) for f in files if digest(f) != f.hash.value];"
        "print(sorted(d.name.replace('_', '-') for d in parts), wrong)"
    )
    names = {SERVING_IMAGE: ["openvino", "sagemaker-inference"], TRAINING_IMAGE: ["fastai", "nncf", "openvino"]}
    assert run(engine, image, "python3", "-c", script).strip() == f"{names[image]} []"


@pytest.mark.parametrize("image", [SERVING_IMAGE, TRAINING_IMAGE])
def test_sdk_needs_bash_python_and_pip(engine, image):
    # SDK 3 starts /bin/bash on its own driver, which calls python3 and pip3.
    assert "ok" in run(engine, image, "bash", "-c", "python3 -V && pip3 --version && echo ok")


def test_serving_holds_no_torch_and_no_fastai(engine):
    script = (
        "import importlib.util as u;"
        "print([n for n in ('torch', 'torchvision', 'fastai', 'fastai_training', 'timm', 'scipy') if u.find_spec(n)])"
    )
    assert run(engine, SERVING_IMAGE, "python3", "-c", script).strip() == "[]"


def test_serving_runs_without_rights(engine):
    assert run(engine, SERVING_IMAGE, "id", "-u").strip() == "10001"
    assert run(engine, SERVING_IMAGE, "python3", "-c", "import fastai_serving", user="4242:4242") == ""


@pytest.mark.parametrize("image", [SERVING_IMAGE, TRAINING_IMAGE])
def test_java_takes_its_archive_of_classes(engine, image):
    # -Xshare:on fails where the default starts without the archive, and says nothing
    engine.containers.run(image, ["java", "-Xshare:on", "-version"], remove=True, network_mode="none")


def test_torchvision_imports_in_any_script(engine):
    script = "import torchvision, fastai.vision.all, sagemaker_training, timm; print(torchvision.__version__)"
    assert run(engine, TRAINING_IMAGE, "python3", "-c", script).strip()


def test_waiting_threads_leave_the_cores_to_others_in_any_script(engine):
    # SDK 3's driver starts scripts without our entry point.
    assert run(engine, TRAINING_IMAGE, "bash", "-c", "echo $OMP_WAIT_POLICY").strip() == "PASSIVE"


def test_sagemaker_inference_imports_whole(engine):
    # A fresh installation of it fails on pkg_resources. The serving image leaves out scipy, and
    # with it the toolkit's own server, which ours stands in for.
    script = "from sagemaker_inference import model_server; print(model_server.__name__)"
    assert run(engine, TRAINING_IMAGE, "python3", "-W", "ignore", "-c", script) == "sagemaker_inference.model_server\n"


@pytest.mark.parametrize(
    ("command", "code"),
    [(["sh", "-c", "exit 7"], 7), (["no-such-command"], 127), (["/etc"], 126), (["sh", "-c", "kill -TERM $$"], 143)],
)
def test_exit_code_is_passed_on(engine, command, code):
    container = engine.containers.run(SERVING_IMAGE, command, detach=True)
    try:
        assert container.wait(timeout=PATIENCE)["StatusCode"] == code
    finally:
        container.remove(force=True)


def test_signals_reach_any_command(engine):
    script = "trap 'echo stopped; exit 3' TERM; echo started; while :; do sleep 0.1; done"
    container = engine.containers.run(SERVING_IMAGE, ["sh", "-c", script], detach=True)
    try:
        next(container.logs(stream=True))
        container.stop(timeout=PATIENCE)
        assert container.wait()["StatusCode"] == 3
        assert container.logs().decode() == "started\nstopped\n"
    finally:
        container.remove(force=True)


def test_serving_image_says_that_it_cannot_train(engine):
    container = engine.containers.run(SERVING_IMAGE, "train", detach=True)
    try:
        assert container.wait(timeout=PATIENCE)["StatusCode"] == 1
        assert "fastai-sagemaker-training" in container.logs().decode()
    finally:
        container.remove(force=True)
