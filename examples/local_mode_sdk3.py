"""Train and serve on this machine with version 3 of the SageMaker Python SDK (local mode; no AWS account needed).

    pip install -r examples/requirements-sdk3.txt
    python examples/local_mode_sdk3.py --data pictures/ epochs=2 arch=efficientnet_lite0

Without `training_mode`, with one of SageMaker's instance types, an S3 address and a real role, the same trainer trains
there.
"""

import argparse
import json
import os
import tempfile
import threading
import time
from pathlib import Path

import boto3
from sagemaker.core.helper.session_helper import Session
from sagemaker.core.local import LocalSession
from sagemaker.core.training.configs import Compute, InputData, SourceCode
from sagemaker.train import ModelTrainer
from sagemaker.train.model_trainer import Mode

#: Local mode checks no role, but it must look like one: a name without "/" would be looked up at AWS.
ROLE = "arn:aws:iam::111122223333:role/local/anything"
# Telemetry is a request to AWS after each call, which without a network waits until it is given up.
DEFAULTS = {"SchemaVersion": "1.0", "SageMaker": {"PythonSDK": {"Modules": {"TelemetryOptOut": True}}}}


def account() -> boto3.Session:
    """This machine's AWS account, or one that doesn't exist: nothing is asked of it while data lies here."""
    os.environ.setdefault("AWS_EC2_METADATA_DISABLED", "true")  # else boto3 looks for a role for several seconds
    region = os.environ.get("AWS_REGION", "us-east-1")
    boto = boto3.Session(region_name=region)
    return boto if boto.get_credentials() else boto3.Session("none", "none", region_name=region)


def local_session(port: int = 8080) -> LocalSession:
    """A session whose endpoints run here and listen at ``port``."""
    session = LocalSession(account(), sagemaker_config=DEFAULTS)
    # user: folders that the SDK makes can be read by you and root alone
    session.config = {"local": {"serving_port": port, "container_config": {"shm_size": "1g", "user": "0"}}}
    return session


def deploy(session: LocalSession, name: str, image: str, model_data: str, **environment: str) -> None:
    """An endpoint, by the calls that boto3 has too. (ModelBuilder's local mode pulls its image from a registry.)"""
    client = session.sagemaker_client
    container = {"Image": image, "ModelDataUrl": model_data, "Environment": environment}
    client.create_model(ModelName=name, PrimaryContainer=container)
    variant = {"VariantName": "AllTraffic", "ModelName": name, "InitialInstanceCount": 1, "InstanceType": "local"}
    client.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
    client.create_endpoint(EndpointName=name, EndpointConfigName=name)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a folder of pictures")
    parser.add_argument("--pictures", type=Path, nargs="+", help="pictures to send; default: five of the folder")
    parser.add_argument("--script", type=Path, help="a training script of your own, such as examples/pets.py")
    parser.add_argument("--instance-type", default="local_cpu", help="local_cpu or local_gpu")
    parser.add_argument("--training-image", default="fastai-sagemaker-training:cpu")
    parser.add_argument("--serving-image", default="fastai-sagemaker-serving:cpu")
    parser.add_argument("--port", type=int, default=8080, help="where the endpoint listens")
    parser.add_argument("hyperparameters", nargs="*", metavar="name=value")
    args = parser.parse_args()
    pictures = args.pictures or sorted(args.data.rglob("*.jpg"))[:5]

    print("== train", flush=True)
    job = Path(tempfile.mkdtemp(prefix="fastai-local-"))
    source = SourceCode(source_dir=str(args.script.parent), entry_script=args.script.name) if args.script else None
    trainer = ModelTrainer(
        training_mode=Mode.LOCAL_CONTAINER,
        local_container_root=str(job),
        training_image=args.training_image,
        source_code=source,
        compute=Compute(instance_type=args.instance_type, instance_count=1),
        hyperparameters=dict(item.split("=", 1) for item in args.hyperparameters),
        base_job_name="fastai-local",
        role=ROLE,
        sagemaker_session=Session(account(), sagemaker_config=DEFAULTS),
    )
    trainer.train(input_data_config=[InputData(channel_name="training", data_source=str(args.data.resolve()))])
    model_data = f"file://{job}/compressed_artifacts/model.tar.gz"
    print(f"== the model is {model_data}", flush=True)

    print("== deploy", flush=True)
    session = local_session(args.port)
    deploy(session, "fastai-local", args.serving_image, model_data)
    try:
        for picture in pictures:
            started = time.perf_counter()
            response = session.sagemaker_runtime_client.invoke_endpoint(
                Body=picture.read_bytes(), EndpointName="fastai-local", ContentType="image/jpeg"
            )
            answer = json.loads(response["Body"].read())
            took = (time.perf_counter() - started) * 1000
            print(f"== {picture.name}: {answer['class']} {answer['confidence']:.1%} ({took:.0f} ms)", flush=True)
    finally:
        print("== delete the endpoint", flush=True)
        # Here the SDK stops Docker Compose, and its own thread may then complain that Compose was stopped.
        threading.excepthook = lambda _: None
        session.sagemaker_client.delete_endpoint(EndpointName="fastai-local")
