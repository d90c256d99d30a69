"""A user's own inference script, in both images."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.contract.conftest import TRAINING_IMAGE, Job
from tests.contract.serving import exit_code, last_line, processes

pytestmark = [pytest.mark.engine, pytest.mark.pets]

#: Every hook but transform_fn; helper.py beside it has the name of one of the container's folders.
FULL = """
import json
from serving import shout
state = []
def pre_model_fn(model_dir): state.append("pre")
def model_fn(model_dir, context): state.append("model"); return {"context": context is not None, "dir": model_dir}
def model_warmup_fn(model_dir, model): state.append("warm")
def input_fn(data, content_type):
    if content_type.startswith("text/csv"):
        assert isinstance(data, str)
        return [float(x) for x in data.split(",")]
    if content_type == "application/json": return json.loads(data)["values"]
    error = ValueError("send CSV or JSON"); error.status_code = 422
    raise error
def predict_fn(data, model): return {"sum": sum(data), "state": list(state), **model}
def output_fn(prediction, accept): return shout(json.dumps(prediction)), accept
"""

OUTPUT_ONLY = """
def output_fn(prediction, accept): return {"best": int(prediction.argmax()), "classes": len(prediction)}
"""

INPUT_ONLY = """
import io
from PIL import Image
def input_fn(data, content_type): return Image.open(io.BytesIO(data)).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
"""

TRANSFORM = """
import mine
def model_fn(model_dir): return object()
def transform_fn(model, data, content_type, accept, context):
    if data == b"memory": raise MemoryError()
    if data == b"boom": raise RuntimeError("boom at row 7")
    return mine.VALUE + data, "application/x-mine"
"""

TOOLKIT = """
from sagemaker_inference import content_types, decoder, encoder, errors
def model_fn(model_dir): return lambda data: data * 2
def input_fn(data, content_type): return decoder.decode(data, content_type)
def output_fn(prediction, accept):
    if prediction.sum() < 0:
        raise errors.BaseInferenceToolkitError(409, "negative", "negative")
    return encoder.encode(prediction, accept), accept
"""

LARGE = """
def model_fn(model_dir): return lambda data: b"x" * int(data)
def input_fn(data, content_type): return data
"""

FASTAI = """
from fastai.vision.all import PILImage, load_learner
def model_fn(model_dir):
    return load_learner(f"{model_dir}/export.pkl")
def input_fn(data, content_type):
    return PILImage.create(data)
def predict_fn(image, learner):
    with learner.no_bar(), learner.no_logging():
        name, index, probabilities = learner.predict(image)
    return {"class": str(name), "confidence": float(probabilities[index])}
"""


@pytest.fixture
def model(pets_job: Job, tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    shutil.copytree(pets_job.model, folder)
    (folder / "code").mkdir()
    return folder


def wheel(folder: Path, name: str = "mine", version: str = "1.0") -> None:
    """A package, or a release of one, that is nowhere but beside the script."""
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        archive.writestr(f"{name}.py", f"VALUE = b'{name}:'\n")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", f"{name}.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")


def test_every_hook_and_an_error_with_a_status(start_endpoint, model: Path):
    (model / "code" / "inference.py").write_text(FULL)
    (model / "code" / "serving.py").write_text("def shout(text): return text + '!'\n")
    endpoint = start_endpoint(model)
    answer = endpoint.invoke(b"1,2.5", "text/csv; charset=utf-8")
    assert answer.status_code == 200, answer.text
    assert json.loads(answer.text.rstrip("!")) == {
        "sum": 3.5, "state": ["pre", "model", "warm"], "context": True, "dir": "/opt/ml/model",
    }  # fmt: skip
    assert answer.headers["content-type"] == "application/json"
    refused = endpoint.invoke(b"x", "image/jpeg")
    assert (refused.status_code, refused.json()["error"]["message"]) == (422, "send CSV or JSON")
    broken = endpoint.invoke(b"{}", "application/json")
    assert (broken.status_code, broken.json()["error"]) == (500, {"code": "script_error", "message": "'values'"})
    assert "Traceback" in endpoint.log()
    assert endpoint.invoke(b"\xff", "text/csv").status_code == 400


def test_output_fn_alone(start_endpoint, model: Path, pets: Path):
    (model / "code" / "inference.py").write_text(OUTPUT_ONLY)
    endpoint = start_endpoint(model)
    vocab = json.loads((model / "model.json").read_text())["vocab"]
    answer = endpoint.invoke((pets / "Bengal_101.jpg").read_bytes()).json()
    assert answer == {"best": vocab.index("Bengal"), "classes": 37}
    assert endpoint.invoke(b"x").status_code == 400


def test_input_fn_alone_under_another_name(start_endpoint, model: Path, pets: Path):
    (model / "code" / "flip.py").write_text(INPUT_ONLY)
    endpoint = start_endpoint(model, environment={"SAGEMAKER_PROGRAM": "flip.py"})
    answer = endpoint.invoke((pets / "Bengal_101.jpg").read_bytes()).json()
    assert answer["class"] == "Bengal"
    assert len(answer["predictions"]) == 37


def test_transform_fn_with_requirements_and_no_network(start_endpoint, model: Path):
    (model / "code" / "inference.py").write_text(TRANSFORM)
    (model / "code" / "requirements.txt").write_text("./mine-1.0-py3-none-any.whl\n")
    wheel(model / "code")
    endpoint = start_endpoint(model)
    answer = endpoint.invoke(b"data", "application/octet-stream")
    assert (answer.content, answer.headers["content-type"]) == (b"mine:data", "application/x-mine")
    broken = endpoint.invoke(b"boom", "application/octet-stream")
    assert (broken.status_code, broken.json()["error"]["message"]) == (500, "boom at row 7")
    short = endpoint.invoke(b"memory", "application/octet-stream")
    assert (short.status_code, short.json()["error"]["code"]) == (507, "out_of_memory")
    assert endpoint.invoke(b"on", "application/octet-stream").status_code == 200


def test_the_toolkits_own_decoder_and_errors(start_endpoint, model: Path):
    (model / "code" / "inference.py").write_text(TOOLKIT)
    endpoint = start_endpoint(model)
    answer = endpoint.invoke(b"1,2\n3,4", "text/csv", Accept="application/json")
    assert answer.json() == [[2, 4], [6, 8]]
    refused = endpoint.invoke(b"-1,-2", "text/csv", Accept="application/json")
    assert (refused.status_code, refused.json()["error"]["message"]) == (409, "negative")


def test_an_answer_of_many_megabytes_does_not_end_the_worker(start_endpoint, model: Path):
    (model / "code" / "inference.py").write_text(LARGE)
    endpoint = start_endpoint(model, environment={"SAGEMAKER_MODEL_SERVER_WORKERS": "1"})
    workers = processes(endpoint)["worker"]
    for size in (7_000_000, 40_000_000, 10):
        assert len(endpoint.invoke(str(size).encode(), "text/plain").content) == size
    too_large = endpoint.invoke(b"70000000", "text/plain")
    assert (too_large.status_code, too_large.json()["error"]["code"]) == (507, "answer_too_large")
    assert endpoint.invoke(b"3", "text/plain").content == b"xxx"
    assert processes(endpoint)["worker"] == workers


def test_a_submit_directory_that_is_an_archive(start_endpoint, pets_job: Job, pets: Path, tmp_path: Path):
    with tarfile.open(tmp_path / "sourcedir.tar.gz", "w:gz") as archive:
        data = OUTPUT_ONLY.encode()
        member = tarfile.TarInfo("mine.py")
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
    tmp_path.chmod(0o755)
    endpoint = start_endpoint(
        pets_job.model,
        environment={
            "SAGEMAKER_PROGRAM": "mine.py",
            "SAGEMAKER_SUBMIT_DIRECTORY": "file:///opt/ml/input/sourcedir.tar.gz",
        },
        volumes={str(tmp_path): {"bind": "/opt/ml/input", "mode": "ro"}},
    )
    assert endpoint.invoke((pets / "Bengal_101.jpg").read_bytes()).json()["classes"] == 37


@pytest.mark.parametrize(
    ("script", "environment", "reason"),
    [
        (None, {"SAGEMAKER_PROGRAM": "gone.py"}, "SAGEMAKER_PROGRAM names gone.py"),
        (TRANSFORM + "def input_fn(a, b): pass\n", {}, "transform_fn beside input_fn"),
        ("def input_fn(data): pass\n", {}, "takes 1 argument (data)"),
        ("def model_fn(model_dir): return 7\n", {}, "predict_fn or transform_fn"),
    ],
)
def test_scripts_that_cannot_be_used(start_endpoint, model: Path, script: str | None, environment: dict, reason: str):
    if script:
        (model / "code" / "inference.py").write_text(script)
        (model / "code" / "mine.py").write_text("VALUE = b''")
    endpoint = start_endpoint(model, environment=environment, wait=False)
    assert exit_code(endpoint) == 1
    assert reason in last_line(endpoint)


def test_requirements_that_cannot_be_installed(start_endpoint, model: Path):
    (model / "code" / "inference.py").write_text(OUTPUT_ONLY)
    (model / "code" / "requirements.txt").write_text("./gone-1.0-py3-none-any.whl\n")
    endpoint = start_endpoint(model, wait=False)
    assert exit_code(endpoint) == 1
    assert "can't install" in last_line(endpoint)
    assert "gone-1.0" in last_line(endpoint)


def test_the_training_image_serves_scripts_that_need_fastai(start_endpoint, model: Path, pets: Path):
    (model / "code" / "inference.py").write_text(FASTAI)
    endpoint = start_endpoint(model, image=TRAINING_IMAGE, environment={"SAGEMAKER_MODEL_SERVER_WORKERS": "1"})
    answer = endpoint.invoke((pets / "Bengal_101.jpg").read_bytes())
    assert answer.status_code == 200, answer.text
    assert answer.json()["class"] == "Bengal"
    assert endpoint.invoke(b"no picture").status_code == 500
