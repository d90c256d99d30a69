"""Scripts and model folders that were made for other containers: what sagemaker-inference's users rely on."""

from __future__ import annotations

import io
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests

from tests.contract.conftest import TRAINING_IMAGE, Endpoint, Job
from tests.contract.serving import exit_code, last_line, processes
from tests.contract.test_serving_scripts import wheel

pytestmark = [pytest.mark.engine, pytest.mark.pets]

#: No model of ours, no input_fn, no output_fn. What is sent as a JSON object says what to do.
HOOKS = """
import asyncio, sys, os
async def model_fn(model_dir, **kwargs):
    await asyncio.sleep(0)
    return {"loop": id(asyncio.get_running_loop()), "kwargs": kwargs}
async def predict_fn(data, model, *, top=3, context=None):
    if not isinstance(data, dict): return data * 2
    case = data["case"]
    if case == "facts":
        same = model["loop"] == id(asyncio.get_running_loop())
        return {"top": top, "context": context is not None, "kwargs": model["kwargs"], "same": same, "pid": os.getpid()}
    if case == "exit": sys.exit(3)
    if case == "interrupt": raise KeyboardInterrupt
    if case == "close": raise GeneratorExit
    if case == "nan": return {"score": float("nan")}
    if case == "object": return {"model": object()}
    if case == "line": print("x" * 50_000_000); return "printed"
    if case == "long": raise ValueError("y" * 50_000_000)
    return (number for number in range(3))
"""

BODIES = """
import jmespath
def model_fn(model_dir): return None
def input_fn(data, content_type): return data
def predict_fn(data, model): return data
def output_fn(prediction, accept):
    if prediction == b"picture": return b"\\xff\\xd8", "image/jpeg"
    if prediction == b"text": return "a;b", "text/csv; header=present"
    if prediction == b"object": return {"a": 1}, "application/vnd.mine+json"
    if prediction == b"pieces": return (piece for piece in (b"a", b"b")), "text/x-pieces"
    if prediction == b"split": return "x", "text/plain\\r\\nX-Evil: 1"
    if prediction == b"bare": return "cat"
    if prediction == b"package": return jmespath.VALUE, "text/plain"
    return prediction, None
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model folder without a model of ours."""
    (tmp_path / "model" / "code").mkdir(parents=True)
    return tmp_path / "model"


def scripted(folder: Path, text: str, **files: str) -> Path:
    (folder / "code" / "inference.py").write_text(text)
    for name, content in files.items():
        (folder / "code" / f"{name}.txt").write_text(content)
    return folder


def error(answer: requests.Response, status: int) -> str:
    assert answer.status_code == status, answer.text[:500]
    told = answer.json()["error"]
    return f"{told['code']}: {told['message']}"


def case(endpoint: Endpoint, name: str) -> requests.Response:
    return endpoint.invoke(json.dumps({"case": name}).encode(), "application/json")


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def test_model_fn_and_predict_fn_alone(start_endpoint, folder: Path, pets: Path):
    endpoint = start_endpoint(scripted(folder, HOOKS), environment={"SAGEMAKER_MODEL_SERVER_WORKERS": "1"})
    workers = processes(endpoint)["worker"]
    facts = case(endpoint, "facts").json()
    pid = facts.pop("pid")
    assert facts == {"top": 3, "context": True, "kwargs": {}, "same": True}

    # Arrays in and out, as sagemaker-inference's decoders and encoders have them.
    assert endpoint.invoke(b"[[1, 2], [3, 4]]", "application/json").json() == [[2, 4], [6, 8]]
    answer = endpoint.invoke(b"1,2\n3,4", "text/csv", Accept="text/csv")
    assert (answer.text, answer.headers["content-type"]) == ("2,4\n6,8\n", "text/csv; charset=utf-8")
    answer = endpoint.invoke(npy(np.float32([1.5, 2])), "application/x-npy", Accept="application/x-npy")
    assert answer.headers["content-type"] == "application/x-npy"
    array = np.load(io.BytesIO(answer.content))
    assert (array.tolist(), array.dtype) == ([3.0, 4.0], np.float32)
    pickled = io.BytesIO()
    np.save(pickled, np.array([{}], dtype=object), allow_pickle=True)
    assert "pickles, which are not read" in error(endpoint.invoke(pickled.getvalue(), "application/x-npy"), 400)
    assert error(endpoint.invoke(b"{", "application/json"), 400).startswith("bad_json")
    assert "an array as application/json" in error(endpoint.invoke(b"x", "text/plain"), 415)
    picture = endpoint.invoke((pets / "Bengal_101.jpg").read_bytes())
    assert np.array(picture.json()).ndim == 3, "the whole picture's pixels, doubled"

    # What is no JSON is an error, never a Python name.
    assert case(endpoint, "generator").json() == [0, 1, 2]
    assert "NaN" in error(case(endpoint, "nan"), 500)
    assert "an object of the type object" in error(case(endpoint, "object"), 500)

    # What would end a program ends the request alone.
    assert error(case(endpoint, "exit"), 500) == "script_error: SystemExit: 3"
    assert error(case(endpoint, "interrupt"), 500) == "script_error: KeyboardInterrupt"
    assert error(case(endpoint, "close"), 500) == "script_error: GeneratorExit"
    assert len(error(case(endpoint, "long"), 500)) < 3000
    assert case(endpoint, "line").json() == "printed"
    assert case(endpoint, "facts").json()["pid"] == pid
    assert processes(endpoint)["worker"] == workers
    log = endpoint.log()
    assert "SystemExit: 3" in log
    assert "characters left out" in log
    assert len(log) < 500_000


def test_bodies_and_another_release_of_a_package(start_endpoint, folder: Path):
    """Bodies keep their content type. The image has a release of jmespath; nothing can be uninstalled here."""
    wheel(folder / "code", "jmespath", "99.0")
    scripted(folder, BODIES, requirements="jmespath>=99\n--no-index\n--find-links .\n")
    endpoint = start_endpoint(folder)

    def answer(body: bytes, **headers: str) -> tuple[bytes, str]:
        got = endpoint.invoke(body, "application/octet-stream", **headers)
        assert got.status_code == 200, got.text
        return got.content, got.headers["content-type"]

    assert answer(b"picture") == (b"\xff\xd8", "image/jpeg")
    assert answer(b"package") == (b"jmespath:", "text/plain")
    assert answer(b"text") == (b"a;b", "text/csv; header=present")
    assert answer(b"object") == (b'{"a": 1}', "application/vnd.mine+json")
    assert answer(b"pieces") == (b"ab", "text/x-pieces")
    assert answer(b"bare") == (b"cat", "text/plain; charset=utf-8")
    assert answer(b"bare", Accept="text/html, */*") == (b"cat", "text/html")
    assert answer(b"[1]", Accept="application/json, text/plain, */*") == (b"[1]", "application/json")
    assert answer(b"{]") == (b"{]", "application/octet-stream")
    headers = {"Content-Type": "application/octet-stream", "Accept": b"application/json;\xe9"}
    strange = requests.post(f"{endpoint.url}/invocations", data=b"bare", headers=headers, timeout=60)
    assert (strange.status_code, strange.headers["content-type"]) == (200, "text/plain; charset=utf-8")
    assert "content type" in error(endpoint.invoke(b"split", "application/octet-stream"), 500)
    assert "NaN" in error(endpoint.invoke(b"[NaN]", "application/octet-stream"), 500)


LEARNER = """
from fastai.vision.all import load_learner
def model_fn(model_dir): return load_learner(f"{model_dir}/export.pkl")
"""


def test_a_learner_alone_is_asked_as_fastai_asks_it(start_endpoint, pets_job: Job, folder: Path, pets: Path):
    """The training image; requirements that it satisfies are not asked for again: there is no index."""
    shutil.copy(pets_job.model / "export.pkl", folder)
    scripted(folder, LEARNER, requirements="fastai\ntorch>=2\nsagemaker-inference\nscikit-learn  # it has this too\n")
    endpoint = start_endpoint(
        folder,
        image=TRAINING_IMAGE,
        environment={"SAGEMAKER_MODEL_SERVER_WORKERS": "1", "PIP_NO_INDEX": "1"},
    )
    assert "all that it asks for is installed" in endpoint.log()
    body = (pets / "Bengal_101.jpg").read_bytes()
    answers = [endpoint.invoke(body).json() for _ in range(2)]
    assert answers[0] == answers[1]
    assert answers[0]["class"] == "Bengal"
    assert len(answers[0]["predictions"]) == 37
    assert answers[0]["confidence"] == answers[0]["predictions"][0]["confidence"]
    short = endpoint.invoke(body, Accept="text/csv", X_Amzn_SageMaker_Custom_Attributes="top_k=2")
    assert [row.split(",")[0] for row in short.text.split()] == [
        "class",
        "Bengal",
        answers[0]["predictions"][1]["class"],
    ]
    assert error(endpoint.invoke(b"no picture"), 400).startswith("not_an_image")
    assert error(endpoint.invoke(b"[1]", "application/json"), 415).startswith("unsupported_media_type")


def torchscript(path: Path) -> None:
    torch = pytest.importorskip("torch")
    module = torch.nn.Sequential(torch.nn.Linear(2, 1), torch.nn.Dropout(0.5))
    torch.nn.init.ones_(module[0].weight)
    torch.nn.init.zeros_(module[0].bias)
    torch.jit.script(module).save(str(path))


def test_torchscript_is_served_by_the_training_image(start_endpoint, folder: Path):
    torchscript(folder / "model.pt")
    endpoint = start_endpoint(folder, image=TRAINING_IMAGE, environment={"SAGEMAKER_MODEL_SERVER_WORKERS": "1"})
    assert [endpoint.invoke(b"[[1, 2]]", "application/json").json() for _ in range(4)] == [[[3.0]]] * 4
    assert "the TorchScript file" in endpoint.log()


def refusal(endpoint: Endpoint) -> str:
    assert exit_code(endpoint) == 1
    return last_line(endpoint)


@pytest.mark.parametrize(
    ("files", "image", "reason"),
    [
        ({"export.pkl": ""}, None, "export.pkl is a learner exported by fastai"),
        ({"export.pkl": ""}, TRAINING_IMAGE, "export.pkl is a learner exported by fastai"),
        ({"export.pkl": "", "inference.py": ""}, None, "inference.py lies beside code/, not in it"),
        ({"code/predictor.py": ""}, None, "SAGEMAKER_PROGRAM=predictor.py"),
        ({"model.pt": "torchscript"}, None, "model.pt is a TorchScript file"),
        ({"model.safetensors": ""}, None, "model.safetensors is weights alone"),
        ({"code/inference.py": "from fastai.vision.all import *\n"}, None, "inference.py needs fastai, which the"),
        ({"code/inference.py": "def model_fn(d):\n    import torch\n"}, None, "inference.py needs torch, which the"),
        (
            {"code/inference.py": "", "code/requirements.txt": "numpy\nfastai==2.8.*\n"}, None,
            "asks for fastai, which the serving image has not",
        ),
        ({"code/inference.py": "", "code/requirements.txt": "-r /etc/passwd\n"}, None, "line 1 of /etc/passwd is no"),
        ({"code/inference.py": "def predict_fn(data, model, a, b): 0\n"}, None, "predict_fn in inference.py takes 4"),
        ({"code/inference.py": "from fastai.basic_train import *\n"}, TRAINING_IMAGE, "written for fastai 1"),
    ],
)  # fmt: skip
def test_what_cannot_be_served_is_told_at_once(
    start_endpoint, folder: Path, files: dict, image: str | None, reason: str
):
    for name, text in files.items():
        if text == "torchscript":
            torchscript(folder / name)
        else:
            (folder / name).write_text(text)
    options: dict[str, Any] = {"image": image} if image else {}
    assert reason in refusal(start_endpoint(folder, wait=False, **options))


MANY = """
import mine
def model_fn(model_dir): return mine.VALUE.decode() + "{name}"
def predict_fn(data, model): return model
"""


def test_the_scripts_of_a_multi_model_endpoint(start_endpoint, pets_job: Job, pets: Path, tmp_path: Path):
    """SAGEMAKER_PROGRAM is one word for all: a model that has no such file may still have inference.py, or none."""
    root = tmp_path / "models"
    for name, program in (("named", "train.py"), ("default", "inference.py"), ("needy", "train.py"), ("other", "x.py")):
        code = root / name / "model" / "code"
        code.mkdir(parents=True)
        (code / program).write_text(MANY.replace("{name}", name))
        (code / "requirements.txt").write_text("./mine-1.0-py3-none-any.whl\nnumpy\n")
        wheel(code)
    (root / "needy" / "model" / "code" / "requirements.txt").write_text("torch\n")
    (root / "named" / "model" / "code" / "inference.py").write_text("raise SystemExit('the wrong one')\n")
    shutil.copytree(pets_job.model, root / "ours" / "model", copy_function=os.link)
    (root / "ours" / "model" / "code").mkdir()
    (root / "ours" / "model" / "code" / "predictor.py").write_text("raise SystemExit('nobody asked')\n")
    root.chmod(0o755)
    endpoint = start_endpoint(
        None,
        environment={"SAGEMAKER_MULTI_MODEL": "true", "SAGEMAKER_PROGRAM": "train.py", "PIP_NO_INDEX": "1"},
        volumes={str(root): {"bind": "/opt/ml/models", "mode": "ro"}},
    )

    def load(name: str) -> requests.Response:
        body = {"model_name": name, "url": f"/opt/ml/models/{name}/model"}
        return requests.post(f"{endpoint.url}/models", json=body, timeout=120)

    def ask(name: str, body: bytes, kind: str) -> Any:
        url = f"{endpoint.url}/models/{name}/invoke"
        return requests.post(url, data=body, headers={"Content-Type": kind}, timeout=60).json()

    for name in ("named", "default", "ours"):
        assert load(name).status_code == 200, endpoint.log()
    assert ask("named", b"[1]", "application/json") == "mine:named"
    assert ask("default", b"[1]", "application/json") == "mine:default"
    assert ask("ours", (pets / "Bengal_101.jpg").read_bytes(), "image/jpeg")["class"] == "Bengal"
    assert "code/predictor.py is not used: nothing names it" in endpoint.log()
    assert "asks for torch, which the serving image has not" in load("needy").text
    assert "nothing names code/x.py" in load("other").text
    # What was installed serves the model's next load.
    assert requests.delete(f"{endpoint.url}/models/named", timeout=60).status_code == 200
    installed = endpoint.log().count("installing mine")
    assert load("named").status_code == 200
    assert ask("named", b"[1]", "application/json") == "mine:named"
    assert endpoint.log().count("installing mine") == installed
