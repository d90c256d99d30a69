"""Train and serve on this machine with version 2 of the SageMaker Python SDK (local mode; no AWS account needed).

    pip install -r examples/requirements-sdk2.txt
    python examples/local_mode_sdk2.py --data pictures/ epochs=2 arch=efficientnet_lite0

With one of SageMaker's instance types (`ml.g5.xlarge`) in place of `local`, a `sagemaker.Session()`, an S3 address in
place of `file://` and a real role, the same calls train and serve there.
"""

import argparse
import os
import threading
import time
from pathlib import Path

import boto3
from sagemaker.deserializers import JSONDeserializer
from sagemaker.estimator import Estimator
from sagemaker.local import LocalSession
from sagemaker.predictor import Predictor
from sagemaker.pytorch import PyTorch
from sagemaker.serializers import IdentitySerializer

#: Local mode checks no role, but it must look like one: a name without "/" would be looked up at AWS.
ROLE = "arn:aws:iam::111122223333:role/local/anything"


class ImagePredictor(Predictor):
    """JPEG in, JSON out."""

    def __init__(self, endpoint_name, sagemaker_session=None):
        super().__init__(endpoint_name, sagemaker_session, IdentitySerializer("image/jpeg"), JSONDeserializer())


def local_session(port: int = 8080) -> LocalSession:
    """A session that asks nothing of AWS while data lies on this machine; an endpoint of it listens at ``port``."""
    os.environ.setdefault("AWS_EC2_METADATA_DISABLED", "true")  # else boto3 looks for a role for several seconds
    region = os.environ.get("AWS_REGION", "us-east-1")
    boto = boto3.Session(region_name=region)
    if boto.get_credentials() is None:
        boto = boto3.Session("none", "none", region_name=region)
    # Telemetry is a request to AWS after each call, which without a network waits until it is given up.
    defaults = {"SchemaVersion": "1.0", "SageMaker": {"PythonSDK": {"Modules": {"TelemetryOptOut": True}}}}
    session = LocalSession(boto, sagemaker_config=defaults)
    # local_code: scripts are mounted, not uploaded. shm_size: processes that decode pictures need more shared memory
    # than Docker's 64 MB. user: folders that the SDK makes can be read by you and root alone.
    container = {"shm_size": "1g", "user": "0"}
    session.config = {"local": {"local_code": True, "serving_port": port, "container_config": container}}
    return session


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="a folder of pictures, or s3://…")
    parser.add_argument("--pictures", type=Path, nargs="+", help="pictures to send; default: five of the folder")
    parser.add_argument("--script", type=Path, help="a training script of your own, such as training/pets.py")
    parser.add_argument("--instance-type", default="local", help="local or local_gpu")
    parser.add_argument("--training-image", default="fastai-sagemaker-training:cpu")
    parser.add_argument("--serving-image", default="fastai-sagemaker-serving:cpu")
    parser.add_argument("--port", type=int, default=8080, help="where the endpoint listens")
    parser.add_argument("hyperparameters", nargs="*", metavar="name=value")
    args = parser.parse_args()

    on_s3 = args.data.startswith("s3://")
    data = args.data if on_s3 else f"file://{Path(args.data).resolve()}"
    pictures = args.pictures or ([] if on_s3 else sorted(Path(args.data).rglob("*.jpg"))[:5])
    common = {
        "image_uri": args.training_image,
        "role": ROLE,
        "instance_count": 1,
        "instance_type": args.instance_type,
        "hyperparameters": dict(item.split("=", 1) for item in args.hyperparameters),
        "sagemaker_session": local_session(args.port),
    }

    print("== train", flush=True)
    if args.script:
        # Nothing is stored at code_location; without one the SDK asks AWS for the account's own bucket.
        # framework_version: how the SDK packs the script to serve with it, from 1.2 on into the model; our image stays.
        script = {"entry_point": args.script.name, "source_dir": str(args.script.parent.resolve())}
        estimator = PyTorch(**script, **common, code_location="s3://unused/code", framework_version="2.0")
    else:
        estimator = Estimator(**common)
    estimator.fit(data)
    print(f"== the model is {estimator.model_data}", flush=True)

    print("== deploy", flush=True)
    # A script that loads a fastai learner is served by the training image, which has fastai.
    image = args.training_image if args.script else args.serving_image
    model = estimator.create_model(image_uri=image, predictor_cls=ImagePredictor)
    # In local mode deploy() returns when the endpoint is ready; to wait on top of that would take 30 s more.
    predictor = model.deploy(initial_instance_count=1, instance_type=args.instance_type, wait=False)
    try:
        for picture in pictures:
            started = time.perf_counter()
            answer = predictor.predict(picture.read_bytes())
            took = (time.perf_counter() - started) * 1000
            print(f"== {picture.name}: {answer['class']} {answer['confidence']:.1%} ({took:.0f} ms)", flush=True)
    finally:
        print("== delete the endpoint", flush=True)
        # Here the SDK stops Docker Compose, and its own thread may then complain that Compose was stopped.
        threading.excepthook = lambda _: None
        predictor.delete_endpoint()
