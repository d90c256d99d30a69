"""examples/pets.ipynb from top to bottom: in the SDK's local mode on a real engine, and against moto for AWS."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import boto3
import docker
import nbformat
import pytest

from tests.aws import ACCOUNT, REGION, FakeAws
from tests.conftest import ROOT
from tests.local_mode.conftest import SERVING_IMAGE, TRAINING_IMAGE, free_port

NOTEBOOK = ROOT / "examples" / "pets.ipynb"
BREEDS = ("Abyssinian", "Bengal", "american_bulldog")
PICTURES = 20
#: Run in the SDK's environment: what was executed is kept, also when a cell fails.
EXECUTE = """
import sys, nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], 4)
try:
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": sys.argv[2]}}).execute()
finally:
    nbformat.write(notebook, sys.argv[1])
"""
#: Addresses, credentials and roles of the machine, which no test may use.
OWN = ("AWS_", "BOTO_", "SAGEMAKER_")


@pytest.fixture
def checkout(tmp_path: Path, pets: Path) -> Path:
    """What the notebook needs of a checkout, and a few pictures in ``pictures``; the notebook writes beside them."""
    (tmp_path / "examples").mkdir()
    shutil.copy(ROOT / "examples" / "pets.py", tmp_path / "examples")
    folder = tmp_path / "pictures" / "images"
    folder.mkdir(parents=True)
    for breed in BREEDS:
        for path in sorted(pets.glob(f"{breed}_*.jpg"))[:PICTURES]:
            shutil.copy(path, folder)
    return tmp_path


def execute(
    python: Path,
    checkout: Path,
    parameters: Mapping[str, Any],
    environment: Mapping[str, str],
    leave_out: Sequence[str] = (),
) -> nbformat.NotebookNode:
    """The executed notebook, with ``parameters`` in a cell after the one tagged so (as papermill does it).

    Cells that hold a text of ``leave_out`` are left out.
    """
    notebook = nbformat.read(NOTEBOOK, 4)
    [place] = [n for n, cell in enumerate(notebook.cells) if "parameters" in cell.metadata.get("tags", ())]
    source = "\n".join(f"{name} = {value!r}" for name, value in parameters.items())
    notebook.cells.insert(place + 1, nbformat.v4.new_code_cell(source))
    for text in leave_out:
        notebook.cells.remove(cell_with(notebook, text))
    path = checkout / "examples" / "executed.ipynb"
    nbformat.write(notebook, path)
    own = {name: value for name, value in os.environ.items() if not name.startswith(OWN)}
    done = subprocess.run(
        [python, "-c", EXECUTE, path, path.parent],
        env=own | dict(environment) | {"HOME": str(checkout), "TMPDIR": str(checkout)},
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
    )
    executed = nbformat.read(path, 4)
    assert done.returncode == 0, done.stderr[-6000:] + printed(executed)[-6000:]
    unrun = [cell.source for cell in executed.cells if cell.cell_type == "code" and cell.execution_count is None]
    assert not unrun
    return executed


def printed(notebook: nbformat.NotebookNode) -> str:
    return "".join(printed_by(cell) for cell in notebook.cells if cell.cell_type == "code")


def printed_by(cell: nbformat.NotebookNode) -> str:
    return "".join(output.text for output in cell.outputs if output.output_type == "stream")


def cell_with(notebook: nbformat.NotebookNode, text: str) -> nbformat.NotebookNode:
    [cell] = [cell for cell in notebook.cells if cell.cell_type == "code" and text in cell.source]
    return cell


@pytest.fixture
def left_containers(engine: docker.DockerClient, checkout: Path) -> Iterator[None]:
    """The SDK leaves its containers, stopped; a failed cell leaves them running."""
    yield
    for container in engine.containers.list(all=True, ignore_removed=True):
        if container.labels.get("com.docker.compose.project.working_dir", "").startswith(str(checkout)):
            container.remove(force=True)


@pytest.mark.engine
@pytest.mark.pets
@pytest.mark.usefixtures("left_containers")
def test_local_without_aws(engine: docker.DockerClient, sdk2_python: Path, checkout: Path):
    port = free_port()
    notebook = execute(
        sdk2_python,
        checkout,
        {
            "data_dir": str(checkout / "pictures"),
            "pictures_per_breed": PICTURES,
            "hyperparameters": {
                "epochs": 1,
                "unfrozen-epochs": 1,
                "image-size": 64,
                "batch-size": 16,
                "lr": 0.01,
                "model-arch": "efficientnet_lite0",
            },
            "training_image": TRAINING_IMAGE,
            "serving_image": SERVING_IMAGE,
            "port": port,
        },
        # no credentials, and a request to AWS would meet a closed door
        {"AWS_EC2_METADATA_DISABLED": "true", "AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_MAX_ATTEMPTS": "1"},
    )

    invoked = cell_with(notebook, "pets_predictor.predict(")
    answers = re.findall(r"^(\w+)_\d+\.jpg: (\w+), ([\d.]+)%$", printed_by(invoked), re.MULTILINE)
    assert len(answers) == 3, invoked.outputs
    assert {shown for shown, _, _ in answers} == set(BREEDS)
    for _, answer, confidence in answers:
        assert answer in BREEDS
        assert 100 / len(BREEDS) <= float(confidence) <= 100
    pictures = [output for output in invoked.outputs if output.output_type == "display_data"]
    assert len(pictures) == 3
    assert all("image/png" in picture.data for picture in pictures)

    fitted = cell_with(notebook, ".fit(")
    assert "valid_loss=" in printed_by(fitted)
    # three pictures are held out, and training was given the rest
    assert f"{len(BREEDS) * PICTURES - 3} pictures of {len(BREEDS)} breeds" in printed(notebook)
    assert not [container for container in engine.containers.list(ignore_removed=True) if published(container, port)]


def published(container: docker.models.containers.Container, port: int) -> bool:
    return any(binding["HostPort"] == str(port) for bindings in container.ports.values() for binding in bindings or ())


@pytest.fixture
def pushed(fake_aws: FakeAws) -> Iterator[dict[str, str]]:
    """The URIs of both images' ECR repositories, as after a push."""
    aws = boto3.Session("testing", "testing", region_name=REGION)
    ecr = aws.client("ecr", endpoint_url=fake_aws.url)
    names = {name: f"fastai-sagemaker-{name}" for name in ("training", "serving")}
    yield {
        name: ecr.create_repository(repositoryName=repository)["repository"]["repositoryUri"]
        for name, repository in names.items()
    }
    for repository in names.values():
        ecr.delete_repository(repositoryName=repository)


@pytest.mark.pets
def test_one_variable_takes_it_to_sagemaker(
    sdk2_python: Path, checkout: Path, fake_aws: FakeAws, pushed: dict[str, str]
):
    """What the notebook asks of AWS. moto trains nothing and can't be sent a JPEG, so there is nobody to invoke."""
    aws = boto3.Session("testing", "testing", region_name=REGION)
    s3, sagemaker = (aws.client(name, endpoint_url=fake_aws.url) for name in ("s3", "sagemaker"))
    bucket, role = "pets-of-the-notebook", f"arn:aws:iam::{ACCOUNT}:role/for-the-notebook"
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    parameters = {"data_dir": str(checkout / "pictures"), "pictures_per_breed": 3, "bucket": bucket, "role": role}
    notebook = execute(
        sdk2_python,
        checkout,
        {**parameters, "instance_type": "ml.g5.xlarge"},
        fake_aws.environment(),
        leave_out=("pets_predictor.predict(", "pets_predictor.delete_"),
    )
    assert f"input spec: s3://{bucket}/fastai-pets/images" in printed(notebook)

    stored = {entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]}
    pictures = {name for name in stored if name.endswith(".jpg")}
    assert len(pictures) == 3 * len(BREEDS)
    assert all(name.startswith("fastai-pets/images/") for name in pictures)

    [summary] = sagemaker.list_training_jobs()["TrainingJobSummaries"]
    job = sagemaker.describe_training_job(TrainingJobName=summary["TrainingJobName"])
    assert job["AlgorithmSpecification"]["TrainingImage"] == f"{pushed['training']}:gpu"
    assert job["ResourceConfig"]["InstanceType"] == "ml.g5.xlarge"
    assert job["RoleArn"] == role
    [channel] = job["InputDataConfig"]
    assert channel["DataSource"]["S3DataSource"]["S3Uri"] == f"s3://{bucket}/fastai-pets/images"
    assert job["OutputDataConfig"]["S3OutputPath"].startswith(f"s3://{bucket}")
    given = {name: json.loads(value) for name, value in job["HyperParameters"].items()}
    assert given["sagemaker_program"] == "pets.py"
    assert given["sagemaker_submit_directory"].removeprefix(f"s3://{bucket}/") in stored
    assert given["image-size"] == 224

    [endpoint] = sagemaker.list_endpoints()["Endpoints"]
    config = sagemaker.describe_endpoint_config(EndpointConfigName=endpoint["EndpointName"])
    [variant] = config["ProductionVariants"]
    assert variant["InstanceType"] == "ml.c5.xlarge"
    model = sagemaker.describe_model(ModelName=variant["ModelName"])
    assert model["ExecutionRoleArn"] == role
    assert model["PrimaryContainer"]["Image"] == f"{pushed['serving']}:cpu"
    assert model["PrimaryContainer"]["ModelDataUrl"] == job["ModelArtifacts"]["S3ModelArtifacts"]
