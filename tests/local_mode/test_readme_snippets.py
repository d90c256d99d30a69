"""The README's snippets for SageMaker, run from top to bottom by the real SDK against moto, which stands for AWS.

What is seen: the SDK takes every argument, and what it asks of SageMaker is what the README promises.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import boto3
import pytest
import requests

from tests.aws import ACCOUNT, REGION, FakeAws
from tests.conftest import ROOT
from tests.readme import blocks
from tests.waiting import PATIENCE

BUCKET = "your-bucket"
#: The SDK waits half a minute between two looks at an endpoint; moto's is ready at once.
NO_WAITING = "import time\ntime.sleep = lambda seconds: None\n"


@pytest.fixture(scope="module")
def run(sdk2_python: Path, fake_aws: FakeAws, tmp_path_factory: pytest.TempPathFactory):
    """The snippets' run, and a client of the SageMaker they talked to."""
    folder = tmp_path_factory.mktemp("snippets")
    (folder / "path/to/pictures").mkdir(parents=True)
    (folder / "path/to/a").mkdir()
    for name in ("pictures/pug_1.jpg", "a/picture.jpg"):
        (folder / "path/to" / name).write_bytes(b"not looked at: no model is run here")
    environment = dict(fake_aws.environment())
    clients = {"region_name": REGION, "endpoint_url": fake_aws.url}
    clients |= {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
    boto3.client("s3", **clients).create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    answer = {"Body": json.dumps({"class": "pug", "confidence": 0.97})}
    requests.post(
        f"{fake_aws.url}/moto-api/static/sagemaker/endpoint-results",
        json={"account_id": ACCOUNT, "region": REGION, "results": [answer, answer]},
        timeout=PATIENCE,
    ).raise_for_status()
    program = folder / "readme.py"
    program.write_text(NO_WAITING + "\n".join(blocks("python")), encoding="utf-8")
    done = subprocess.run(
        [sdk2_python, program],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder)} | environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-5000:]
    return done, boto3.client("sagemaker", **clients)


def test_training_jobs_are_asked_for(run):
    _, sagemaker = run
    names = [job["TrainingJobName"] for job in sagemaker.list_training_jobs()["TrainingJobSummaries"]]
    jobs = [sagemaker.describe_training_job(TrainingJobName=name) for name in names]
    jobs = [job for job in jobs if BUCKET in job["OutputDataConfig"]["S3OutputPath"]]
    assert len(jobs) == 2
    for job in jobs:
        assert "/fastai-sagemaker-training:" in job["AlgorithmSpecification"]["TrainingImage"]
        assert job["HyperParameters"]["arch"] == "resnet34"
        assert job["HyperParameters"]["epochs"] == "4"
        (channel,) = job["InputDataConfig"]
        assert channel["DataSource"]["S3DataSource"]["S3Uri"] == f"s3://{BUCKET}/pets/pictures"
    (spot,) = [job for job in jobs if job["EnableManagedSpotTraining"]]
    assert spot["CheckpointConfig"]["S3Uri"] == f"s3://{BUCKET}/pets/checkpoints"
    assert spot["StoppingCondition"] == {"MaxRuntimeInSeconds": 3600, "MaxWaitTimeInSeconds": 7200}


def test_the_tuner_minimizes_the_error(run):
    _, sagemaker = run
    (summary,) = sagemaker.list_hyper_parameter_tuning_jobs()["HyperParameterTuningJobSummaries"]
    job = sagemaker.describe_hyper_parameter_tuning_job(
        HyperParameterTuningJobName=summary["HyperParameterTuningJobName"]
    )
    objective = job["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"]
    assert objective == {"Type": "Minimize", "MetricName": "error_rate"}


def test_endpoints_and_transform_are_asked_for(run):
    done, sagemaker = run
    assert done.stdout.count("{'class': 'pug', 'confidence': 0.97}") == 2
    endpoints = {endpoint["EndpointName"] for endpoint in sagemaker.list_endpoints()["Endpoints"]}
    assert {"pets-serverless", "breeds"} <= endpoints
    config = sagemaker.describe_endpoint_config(EndpointConfigName="pets-serverless")
    (variant,) = config["ProductionVariants"]
    assert variant["ServerlessConfig"] == {"MemorySizeInMB": 2048, "MaxConcurrency": 5}
    container = sagemaker.describe_model(ModelName="breeds")["PrimaryContainer"]
    assert container["Mode"] == "MultiModel"
    assert "/fastai-sagemaker-serving:" in container["Image"]
    (summary,) = sagemaker.list_transform_jobs()["TransformJobSummaries"]
    job = sagemaker.describe_transform_job(TransformJobName=summary["TransformJobName"])
    assert job["BatchStrategy"] == "SingleRecord"
    assert job["TransformInput"]["ContentType"] == "image/jpeg"


def test_the_readmes_metric_is_the_programs():
    # the README shortens the expression; what both find in a line is the same
    import re

    from fastai_training.metrics import objective

    line = "epoch=2 train_loss=0.5000 valid_loss=0.4000 error_rate=0.1016 f1_macro=0.9000 images_per_second=41.5 eta=2s"
    (shown,) = re.findall(r'"Regex": r"(.+)"', (ROOT / "README.md").read_text(encoding="utf-8"))
    (definition,) = objective()["metric_definitions"]
    assert re.search(shown, line).group(1) == re.search(definition["Regex"], line).group(1) == "0.1016"
