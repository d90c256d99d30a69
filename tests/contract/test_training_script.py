"""Script mode: where a user's code may come from, what it may be, and that none is ever ignored. Real containers."""

from __future__ import annotations

import io
import tarfile
import uuid
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.models.containers import Container

from tests.contract.conftest import TRAINING_IMAGE, Job
from tests.contract.test_training_job import CODE, reason, write_code

pytestmark = pytest.mark.engine

SAY = "import sys\nprint('SAID', __file__, sys.argv[1:])\n"
#: A stand-in for S3: GET, HEAD and PUT of objects below a folder.
S3 = """
import http.server, pathlib
class Objects(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def answer(self, status, body=b"", length=None):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.send_header("ETag", '"1"')
        self.end_headers()
        self.wfile.write(body)
    @property
    def path_(self):
        return pathlib.Path("/objects", self.path.partition("?")[0].lstrip("/"))
    def do_HEAD(self):
        self.answer(200, length=self.path_.stat().st_size) if self.path_.is_file() else self.answer(404)
    def do_GET(self):
        self.answer(200, self.path_.read_bytes()) if self.path_.is_file() else self.answer(404)
    def do_PUT(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.path_.parent.mkdir(parents=True, exist_ok=True)
        self.path_.write_bytes(body)
        self.answer(200)
print("serving", flush=True)
http.server.ThreadingHTTPServer(("", 9000), Objects).serve_forever()
"""
S3_ENVIRONMENT = {
    "S3_ENDPOINT_URL": "http://s3:9000",
    "AWS_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "not-a-secret",
    "AWS_MAX_ATTEMPTS": "1",
}


@pytest.fixture
def run(train: Callable[..., Job], sagemaker_folder: Path) -> Callable[..., Job]:
    """``run(hyperparameters, code, **options)``: a job with the folder ``code`` as the channel code."""

    def start(hyperparameters: dict[str, str], code: Path | None = None, **options: Any) -> Job:
        return train(sagemaker_folder, {"code": code} if code else {}, hyperparameters, **options)

    return start


@pytest.fixture(scope="module")
def network(engine: docker.DockerClient) -> Iterator[str]:
    made = engine.networks.create(f"fastai-sagemaker-test-{uuid.uuid4().hex[:8]}", internal=True)
    yield str(made.name)
    made.remove()


@pytest.fixture
def s3(engine: docker.DockerClient, network: str, sagemaker_folder: Path) -> Iterator[Path]:
    """The folder of objects of a stand-in for S3 at http://s3:9000 on the network."""
    objects = sagemaker_folder / "objects"
    objects.mkdir()
    container: Container = engine.containers.run(
        TRAINING_IMAGE,
        ["python3", "-c", S3],
        detach=True,
        volumes={str(objects): {"bind": "/objects", "mode": "rw"}},
        network=network,
        networking_config={network: docker.types.EndpointConfig("1.40", aliases=["s3"])},
        labels={"fastai-sagemaker.test": "1"},
    )
    try:
        assert next(iter(container.logs(stream=True))).startswith(b"serving")
        yield objects
    finally:
        container.remove(force=True)


def archive(path: Path, **files: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as tar:
        for name, text in files.items():
            info = tarfile.TarInfo(name.replace("_py", ".py"))
            info.size = len(text.encode())
            tar.addfile(info, io.BytesIO(text.encode()))


def test_code_in_opt_ml_code_runs(run: Callable[..., Job], sagemaker_folder: Path):
    code = write_code(sagemaker_folder, train_py="import helper\n" + SAY, helper_py="print('helped')\n")
    mount = {str(code): {"bind": "/opt/ml/code", "mode": "ro"}}
    parameters = {"sagemaker_program": '"train.py"', "sagemaker_submit_directory": '"/opt/ml/code"', "epochs": "1"}
    job = run(parameters, volumes=mount)
    assert job.exit_code == 0, job.log
    assert "helped\n" in job.log
    assert "SAID /opt/ml/code/train.py ['--epochs', '1']" in job.log


def test_the_program_may_come_from_the_environment(run: Callable[..., Job], sagemaker_folder: Path):
    code = write_code(sagemaker_folder, train_py=SAY)
    job = run({}, code, environment={"SAGEMAKER_PROGRAM": "train.py", "SAGEMAKER_SUBMIT_DIRECTORY": f"file://{CODE}"})
    assert job.exit_code == 0, job.log
    assert "SAID /opt/ml/code/train.py []" in job.log


def test_code_in_s3_runs_though_there_is_other_code(run: Callable[..., Job], s3: Path, network: str, tmp_path: Path):
    archive(
        s3 / "bucket" / "job" / "sourcedir.tar.gz", train_py="import extra\n" + SAY, extra_py="print('new extra')\n"
    )
    old = tmp_path / "old"
    old.mkdir()
    (old / "train.py").write_text("print('old train')\n")
    (old / "model.cfg").write_text("kept\n")
    parameters = {"sagemaker_program": "train.py", "sagemaker_submit_directory": "s3://bucket/job/sourcedir.tar.gz"}
    mount = {str(old): {"bind": "/opt/ml/code", "mode": "rw"}}
    job = run(parameters, environment=S3_ENVIRONMENT, volumes=mount, network_mode=network)
    assert job.exit_code == 0, job.log
    assert "new extra\n" in job.log
    assert "SAID /opt/ml/code/train.py []" in job.log
    assert "old train" not in job.log
    assert "/opt/ml/code was not empty (model.cfg, train.py)" in job.log
    assert "replacing train.py" in job.log
    assert (old / "model.cfg").read_text() == "kept\n"


def test_intermediate_output_goes_to_s3(run: Callable[..., Job], s3: Path, network: str, sagemaker_folder: Path):
    code = write_code(
        sagemaker_folder,
        train_py="""\
            import os
            folder = os.environ["SM_OUTPUT_INTERMEDIATE_DIR"]
            open(os.path.join(folder, "progress.txt"), "w").write("half way")
            """,
    )
    job = run(
        {
            "sagemaker_program": "train.py",
            "sagemaker_submit_directory": CODE,
            "sagemaker_s3_output": '"s3://bucket/out"',
        },
        code,
        environment=S3_ENVIRONMENT | {"TRAINING_JOB_NAME": "job-1"},
        network_mode=network,
    )
    assert job.exit_code == 0, job.log
    copied = s3 / "bucket" / "out" / "job-1" / "output" / "intermediate" / "progress.txt"
    assert copied.exists(), job.log
    assert b"half way" in copied.read_bytes()


def test_missing_code_in_s3_is_told(run: Callable[..., Job], s3: Path, network: str):
    parameters = {"sagemaker_program": "train.py", "sagemaker_submit_directory": "s3://bucket/none.tar.gz"}
    job = run(parameters, environment=S3_ENVIRONMENT, network_mode=network)
    assert job.exit_code == 1
    assert reason(job).startswith("the code of s3://bucket/none.tar.gz can't be fetched: ")
    assert "there is no such object" in reason(job)


def test_a_shell_entry_point(run: Callable[..., Job], sagemaker_folder: Path):
    code = write_code(sagemaker_folder, run_sh="#!/bin/bash\nprintf 'SAID %q\\n' \"$@\"\nexit 3\n")
    job = run({"sagemaker_program": "run.sh", "sagemaker_submit_directory": CODE, "text": "$(id) `id` 'x'"}, code)
    assert "SAID --text\nSAID \\$\\(id\\)\\ \\`id\\`\\ \\'x\\'\n" in job.log
    assert job.exit_code == 3
    assert "run.sh: exit code 3" in reason(job)


def test_a_package_entry_point_without_network(run: Callable[..., Job], sagemaker_folder: Path):
    code = write_code(
        sagemaker_folder,
        setup_py="from setuptools import setup\nsetup(name='job', version='1', py_modules=['fit'])\n",
        fit_py=SAY,
    )
    job = run({"sagemaker_program": "fit.py", "sagemaker_submit_directory": CODE, "text": "b c"}, code)
    assert job.exit_code == 0, job.log
    assert "Successfully installed job-1" in job.log
    assert "fit.py ['--text', 'b c']" in job.log


@pytest.mark.parametrize(
    ("requirements", "words"),
    [
        (
            "--no-index\nfastai\nno-such-package==1\n",
            "requirements.txt could not be installed (pip's exit code 1); this image lacks no-such-package==1",
        ),
        ("fastai\n./nowhere\n", "line 2 of /opt/ml/code/requirements.txt is no requirement"),
    ],
)
def test_requirements_that_can_not_be_installed(
    run: Callable[..., Job], sagemaker_folder: Path, requirements: str, words: str
):
    code = write_code(sagemaker_folder, train_py=SAY, requirements_txt=requirements)
    job = run({"sagemaker_program": "train.py", "sagemaker_submit_directory": CODE}, code)
    assert job.exit_code == 1
    assert reason(job).startswith(words)
    assert "SAID" not in job.log


def test_requirements_are_installed(run: Callable[..., Job], sagemaker_folder: Path):
    code = write_code(
        sagemaker_folder, train_py="import greeting\n", requirements_txt="./greeting-1-py3-none-any.whl\n"
    )
    with zipfile.ZipFile(code / "greeting-1-py3-none-any.whl", "w") as wheel:
        wheel.writestr("greeting.py", "print('SAID hello')\n")
        wheel.writestr("greeting-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: greeting\nVersion: 1\n")
        wheel.writestr("greeting-1.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("greeting-1.dist-info/RECORD", "")
    job = run({"sagemaker_program": "train.py", "sagemaker_submit_directory": CODE}, code)
    assert job.exit_code == 0, job.log
    assert "SAID hello" in job.log


def test_code_that_no_one_names_is_not_ignored(run: Callable[..., Job], sagemaker_folder: Path):
    code = write_code(sagemaker_folder, train_py=SAY)
    job = run({}, volumes={str(code): {"bind": "/opt/ml/code", "mode": "ro"}})
    assert job.exit_code == 1
    assert reason(job).startswith("there is code in /opt/ml/code (train.py) but nothing says which file to run")


def test_a_program_that_is_not_there(run: Callable[..., Job], sagemaker_folder: Path):
    code = write_code(sagemaker_folder, train_py=SAY)
    job = run({"sagemaker_program": "main.py", "sagemaker_submit_directory": CODE}, code)
    assert job.exit_code == 1
    assert reason(job).startswith(
        "the program main.py is not in /opt/ml/code: it holds train.py; set sagemaker_program"
    )


def test_a_launcher_that_is_not_here(run: Callable[..., Job], sagemaker_folder: Path):
    code = write_code(sagemaker_folder, train_py=SAY)
    job = run(
        {"sagemaker_program": "train.py", "sagemaker_submit_directory": CODE, "sagemaker_mpi_enabled": "true"}, code
    )
    assert job.exit_code == 1
    assert "use torchrun" in reason(job)
