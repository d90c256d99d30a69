"""What users do with version 2 of the SDK, one function each. Runs in the SDK's own environment, as

    python sdk2_stories.py STORY '{"argument": …}'

and prints what came of it as JSON, last. test_sdk2.py says what that must be."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples"))

import boto3
from sagemaker.estimator import Estimator
from sagemaker.model import Model
from sagemaker.pytorch import PyTorch, PyTorchModel

from local_mode_sdk2 import ROLE, ImagePredictor, local_session

Given = Mapping[str, Any]


def session(given: Given, **local: Any) -> Any:
    made = local_session(given["port"])
    made.config = {"local": made.config["local"] | local}
    return made


def common(given: Given, of: Any) -> dict[str, Any]:
    return {
        "image_uri": given["training_image"],
        "role": ROLE,
        "instance_count": 1,
        "instance_type": "local",
        "sagemaker_session": of,
    }


def predict(model: Any, pictures: Sequence[str]) -> list[Any]:
    """Deploys ``model``, sends the pictures, deletes the endpoint."""
    predictor = model.deploy(initial_instance_count=1, instance_type="local", wait=False)
    try:
        return [predictor.predict(Path(picture).read_bytes()) for picture in pictures]
    finally:
        predictor.delete_endpoint()


def script_on_s3(given: Given) -> Any:
    """Data, script, model and output on S3: what `ml.…` does, but here. Then the model served by that script."""
    here = session(given, local_code=False)
    bucket = "fastai-local-mode"
    here.s3_resource.create_bucket(
        Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": boto3.Session().region_name}
    )
    data = here.upload_data(given["data"], bucket=bucket, key_prefix="pets")
    job = PyTorch(
        entry_point="pets.py",
        source_dir=given["source"],
        framework_version="2.0",
        **common(given, here),
        output_path=f"s3://{bucket}/models",
        code_location=f"s3://{bucket}/code",
        hyperparameters=given["hyperparameters"],
    )
    job.fit(data)
    stored = [item.key for item in here.s3_resource.Bucket(bucket).objects.all()]
    model = job.create_model(predictor_cls=ImagePredictor)  # with the image and the script of the job
    return {
        "data": data,
        "model_data": job.model_data,
        "stored": [key for key in stored if not key.startswith("pets/")],
        "answers": predict(model, given["pictures"]),
    }


def two_hosts(given: Given) -> Any:
    """The built-in trainer on two hosts."""
    job = Estimator(
        **common(given, session(given)) | {"instance_count": 2},
        hyperparameters=given["hyperparameters"],
        metric_definitions=given["metric_definitions"],
    )
    job.fit({"training": f"file://{given['data']}"})
    return {"model_data": job.model_data}


def go_on_from_a_model(given: Given) -> Any:
    """Yesterday's model in the channel ``model``, and pictures of one class more."""
    job = Estimator(
        **common(given, session(given)),
        hyperparameters=given["hyperparameters"],
        model_uri=given["model_data"],
        model_channel_name="model",
    )
    job.fit({"training": f"file://{given['data']}"})
    return {"model_data": job.model_data}


def script_in_serving(given: Given) -> Any:
    """A model folder of the built-in trainer, served by the serving image with a script of the user's own."""
    model = PyTorchModel(
        model_data=given["model_data"],
        image_uri=given["serving_image"],
        role=ROLE,
        predictor_cls=ImagePredictor,
        entry_point="inference.py",
        source_dir=given["source"],
        code_location="s3://unused/code",
        sagemaker_session=session(given),
    )
    return {"answers": predict(model, given["pictures"])}


def transform(given: Given) -> Any:
    """Batch transform of a folder of pictures."""
    model = Model(
        image_uri=given["serving_image"], model_data=given["model_data"], role=ROLE, sagemaker_session=session(given)
    )
    transformer = model.transformer(1, "local", output_path=f"file://{given['output']}", accept="application/json")
    transformer.transform(
        f"file://{given['data']}", content_type="image/jpeg", logs=False
    )  # as docs/local-mode.md says
    return {}


def module_beside_the_script(given: Given) -> Any:
    """A folder of modules that is not in source_dir: by ``dependencies``, and by a channel on PYTHONPATH."""
    job = PyTorch(
        entry_point="train.py",
        source_dir=given["source"],
        dependencies=[given["library"]],
        code_location="s3://unused/code",
        framework_version="2.0",
        **common(given, session(given)),
        environment={"PYTHONPATH": "/opt/ml/input/data/library"},
    )
    job.fit({"library": f"file://{given['library']}"})
    return {}


def fails(given: Given) -> Any:
    """A job that can't work: what the SDK's user gets to see."""
    job = Estimator(**common(given, session(given)), hyperparameters=given["hyperparameters"])
    try:
        job.fit({"training": f"file://{given['data']}"})
    except RuntimeError as error:
        return {"error": str(error)}
    return {"error": None}


if __name__ == "__main__":
    logging.basicConfig()
    stories: dict[str, Callable[[Given], Any]] = {
        story.__name__: story
        for story in (
            script_on_s3,
            two_hosts,
            go_on_from_a_model,
            script_in_serving,
            transform,
            module_beside_the_script,
            fails,
        )
    }
    came_of_it = stories[sys.argv[1]](json.loads(sys.argv[2]))
    print("\n" + json.dumps(came_of_it), flush=True)
