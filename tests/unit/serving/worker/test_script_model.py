from __future__ import annotations

import io
import itertools
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from fastai_container.errors import UserError
from fastai_container.model_folder import ModelManifest
from fastai_serving.environment import WorkerSettings
from fastai_serving.responses import Response
from fastai_serving.user_code import hooks
from fastai_serving.user_code.hooks import load_hooks
from fastai_serving.worker import builtin_model, script_model
from fastai_serving.worker.builtin_model import BuiltinModel
from fastai_serving.worker.service import Request, Service

SIZE = 8
_names = itertools.count()


@pytest.fixture
def serve(tmp_path: Path, monkeypatch):
    """``serve(text)``: a function that asks a service with a script of that text, and no model of ours."""
    monkeypatch.setattr(sys, "path", list(sys.path))

    def served(text: str):
        path = tmp_path / f"served_{next(_names)}.py"
        path.write_text(text)
        service = Service(tmp_path, WorkerSettings(1, "application/json", 10_000), hooks=load_hooks(path))

        def ask(body: bytes, kind: str = "application/json", accept: str = "") -> Response:
            return service.respond([Request({}, body, kind, accept)])[0]

        return ask

    return served


@pytest.fixture
def ours(monkeypatch, tmp_path: Path) -> None:
    """A model folder of ours with two classes."""
    (tmp_path / "model.json").write_text("{}")
    model = ModelManifest("net", ["dark", "light"], SIZE, [0.5] * 3, [0.5] * 3)
    backend = SimpleNamespace(
        predict=lambda pictures: np.tile(np.float32([0.25, 0.75]), (len(pictures), 1)),
        set_busy_workers=lambda busy: None,
    )
    monkeypatch.setattr(builtin_model, "read_manifest", lambda folder: model)
    monkeypatch.setattr(script_model, "read_manifest", lambda folder: model)
    monkeypatch.setattr(builtin_model, "load_backend", lambda *_: backend)


def png(width: int = 20, height: int = 10) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (width, height), (200, 0, 0)).save(stream, "PNG")
    return stream.getvalue()


def content(response: Response):
    assert response.status == 200, response.body
    return json.loads(response.body)


def refused(response: Response, status: int) -> str:
    error = json.loads(response.body)["error"]
    assert response.status == status, error
    return f"{error['code']}: {error['message']}"


MEAN = "def model_fn(model_dir): return lambda data: data.mean(axis=-1)\n"


def test_model_fn_alone_takes_arrays_and_answers_arrays(serve):
    ask = serve(MEAN)
    assert content(ask(b"[[1, 3], [5, 7]]")) == [2, 6]
    assert ask(b"1,3\n5,7", "text/csv", "text/csv").body == b"2.0\n6.0\n"
    assert refused(ask(b"[[1], [2, 3]]"), 400).startswith("bad_json")
    assert "application/x-npy" in refused(ask(b"1", "text/plain"), 415)


def test_a_picture_without_a_model_of_ours_is_its_pixels(serve):
    ask = serve("def model_fn(d): 0\ndef predict_fn(data, model): return [str(data.dtype), *data.shape]")
    assert content(ask(png(), "image/png")) == ["uint8", 10, 20, 3]
    assert content(ask(png(), "application/octet-stream")) == ["uint8", 10, 20, 3]
    assert content(ask(b"[1]")) == ["int64", 1]
    assert refused(ask(b"junk", "image/png"), 400).startswith("not_an_image")
    assert "an array" in refused(ask(b"x", "text/plain"), 415)


def test_a_model_json_that_is_somebody_elses(serve, tmp_path: Path):
    (tmp_path / "model.json").write_text('{"learner": {"gradient_booster": {}}}')
    ask = serve("def model_fn(d): return open(d + '/model.json').read()\ndef predict_fn(data, m): return m[:11]")
    assert content(ask(png(), "image/png")) == '{"learner":'


@pytest.mark.usefixtures("ours")
def test_our_model_with_a_predict_fn(serve):
    ask = serve("def predict_fn(data, model): return model(data[None])[0] if data.dtype == 'uint8' else data * 2")
    assert content(ask(png(), "image/png"))["class"] == "light"
    assert ask(png(), "image/png", "image/png").content_type == "image/png"
    assert content(ask(b"[1, 2]")) == [2, 4]
    ask = serve("def predict_fn(data, model): return {'shape': data.shape}")
    assert content(ask(png(), "image/png")) == {"shape": [SIZE, SIZE, 3]}


@pytest.mark.usefixtures("ours")
def test_our_model_with_hooks_that_only_get_ready_is_answered_in_batches(serve, tmp_path: Path):
    path = tmp_path / "ready.py"
    path.write_text("seen = []\ndef model_warmup_fn(model_dir, model): seen.append(model)\n")
    service = Service(tmp_path, WorkerSettings(1, "application/json", 10_000), hooks=load_hooks(path))
    assert isinstance(service.model, BuiltinModel)
    responses = service.respond([Request({}, png(), "image/png", ""), Request({}, b"[1]", "application/json", "")], 1)
    assert [response.status for response in responses] == [200, 415]


@pytest.mark.usefixtures("ours")
def test_output_fn_may_answer_what_we_cannot(serve):
    ask = serve("def output_fn(p, accept): return f'<b>{p.argmax()}</b>', accept")
    response = ask(png(), "image/png", "text/html")
    assert (response.body, response.content_type) == (b"<b>1</b>", "text/html")


@pytest.mark.parametrize("reads", ["def input_fn(d, t): return d", "def transform_fn(m, d, t, a): return 'b'"])
def test_a_model_json_of_another_making_is_nobodys_affair_where_ours_is_not_asked_for(
    serve, tmp_path: Path, reads: str
):
    (tmp_path / "model.json").write_text('{"architectures": ["theirs"]}')
    ask = serve(f"def model_fn(d): return lambda data: 'b'\n{reads}\n")
    assert ask(b"a", "text/plain").status == 200


@pytest.mark.parametrize("stop", ["sys.exit(3)", "raise KeyboardInterrupt", "raise GeneratorExit", "exit()"])
@pytest.mark.parametrize("where", ["input_fn", "predict_fn", "output_fn", "transform_fn"])
def test_what_ends_a_program_does_not_end_the_worker(serve, caplog, stop: str, where: str):
    parameters = "m, d, t, a" if where == "transform_fn" else "a, b"
    others = "def predict_fn(data, model): return 1\n" if where in ("input_fn", "output_fn") else ""
    ask = serve(f"import sys\ndef model_fn(d): return lambda data: 1\n{others}def {where}({parameters}):\n    {stop}\n")
    assert refused(ask(b"[1]"), 500).startswith("script_error: ")
    assert "the request failed" in caplog.text
    assert "mine" not in caplog.text
    assert where in caplog.text


def test_a_generator_that_fails_while_it_is_read(serve):
    ask = serve("def model_fn(d): 0\ndef predict_fn(data, m):\n    yield 1\n    raise RuntimeError('at row 2')\n")
    assert refused(ask(b"[1]"), 500) == "script_error: at row 2"


def test_a_generator_without_an_end(serve, monkeypatch):
    monkeypatch.setattr(hooks, "MAX_PIECES", 1000)
    ask = serve("import itertools\ndef model_fn(d): 0\ndef predict_fn(data, m): return itertools.count()\n")
    assert refused(ask(b"[1]"), 500) == "script_error: a generator gave more than 1,000 pieces"


def test_an_accept_that_no_header_can_hold(serve):
    ask = serve("def model_fn(d): return 0\ndef transform_fn(m, data, kind, accept): return b'x', accept\n")
    assert ask(b"x", accept="text/plain").content_type == "text/plain"
    for accept in ("application/json;\xe9", "a\r\nX-Evil: 1", "a/b\0", "text/html, */*;q=0.1"):
        kind = ask(b"x", accept=accept).content_type
        assert kind == ("text/html" if accept.startswith("text/html") else "application/octet-stream")


def test_nan_is_refused_and_said_in_the_log(serve, caplog):
    ask = serve("def model_fn(d): 0\ndef predict_fn(data, m): return {'score': float('nan')}")
    assert "NaN" in refused(ask(b"[1]"), 500)
    assert "NaN" in caplog.text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("def model_fn(d): return 7", r"can't be called \(int\)"),
        ("def predict_fn(d, m): 0", "has no model_fn, and without model.json"),
        ("def model_fn(d):\n    import nowhere_to_be", "name its package in a requirements.txt"),
    ],
)
def test_scripts_that_cannot_serve(serve, text: str, reason: str):
    with pytest.raises(UserError, match=reason):
        serve(text)


MODULE = """
import torch
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.drop = torch.nn.Dropout(0.5)
        self.weight = torch.nn.Parameter(torch.ones(1))
    def forward(self, x):
        if x.shape[-1] == 4: return {"a": self.drop(x), "grad": torch.is_grad_enabled()}
        return self.drop(x) * self.weight
def model_fn(model_dir): return Net()
"""


def test_a_module_alone_is_run_in_evaluation_without_gradients(serve):
    pytest.importorskip("torch")
    ask = serve(MODULE)
    assert [content(ask(b"[[1, 2, 3]]")) for _ in range(4)] == [[[1, 2, 3]]] * 4
    assert content(ask(b"[1, 2, 3, 4]")) == {"a": [1, 2, 3, 4], "grad": False}
    assert ask(b"1,2,3", "text/csv", "text/csv").body == b"1.0\n2.0\n3.0\n"
    stream = io.BytesIO()
    np.save(stream, np.arange(3, dtype=">f4"))
    assert content(ask(stream.getvalue(), "application/x-npy")) == [0, 1, 2]
    assert refused(ask(b'["a"]'), 400).startswith("bad_array")
    assert refused(ask(b'{"a": 1}'), 400).startswith("bad_array")
    assert "no input_fn" in refused(ask(png(), "image/png"), 415)


def test_a_module_with_predict_fn_is_left_as_it_is(serve):
    pytest.importorskip("torch")
    ask = serve(MODULE + "def predict_fn(data, model): return [model.training, torch.is_grad_enabled()]\n")
    assert content(ask(b"[1]")) == [True, True]


def test_a_modules_input_fn_may_give_tensors(serve):
    pytest.importorskip("torch")
    ask = serve(MODULE + "def input_fn(data, kind): return torch.ones(2)\n")
    assert content(ask(b"", "text/plain")) == [1, 1]


def test_torchscript_by_itself(tmp_path: Path):
    torch = pytest.importorskip("torch")
    module = torch.nn.Sequential(torch.nn.Linear(2, 1), torch.nn.Dropout(0.5))
    torch.nn.init.ones_(module[0].weight)
    torch.nn.init.zeros_(module[0].bias)
    torch.jit.script(module).save(str(tmp_path / "model.pt"))
    service = Service(tmp_path, WorkerSettings(1, "application/json", 10_000))
    responses = [service.respond([Request({}, b"[[1, 2]]", "application/json", "")])[0] for _ in range(4)]
    assert [content(response) for response in responses] == [[[3.0]]] * 4
    (tmp_path / "model.pt").write_bytes((tmp_path / "model.pt").read_bytes()[:-40])
    with pytest.raises(UserError):
        Service(tmp_path, WorkerSettings(1, "application/json", 10_000))


LEARNER = """
import contextlib
from types import SimpleNamespace
import numpy as np
class Learner:
    vocab, result = None, None
    def __init__(self): self.dls = SimpleNamespace(vocab=self.vocab) if self.vocab else SimpleNamespace()
    def __call__(self, event_name): raise AssertionError("fastai's own events")
    def no_bar(self): return contextlib.nullcontext()
    def no_logging(self): return contextlib.nullcontext()
    def predict(self, item):
        assert isinstance(item, (bytes, np.ndarray)), type(item)
        return self.result
Learner.__module__ = "fastai.learner"
class Mine(Learner):
    vocab, result = %s
def model_fn(model_dir): return Mine()
"""


@pytest.mark.parametrize(
    ("learner", "expected"),
    [
        (
            "['cat', 'dog'], ('dog', np.int64(1), np.array([0.25, 0.75]))",
            {
                "class": "dog",
                "confidence": 0.75,
                "predictions": [{"class": "dog", "confidence": 0.75}, {"class": "cat", "confidence": 0.25}],
            },
        ),
        (
            "['cat', 'dog'], (['dog'], np.array([False, True]), np.array([0.25, 0.75]))",
            {"classes": ["dog"], "predictions": [
                {"class": "dog", "confidence": 0.75}, {"class": "cat", "confidence": 0.25}]},
        ),
        ("None, ((3.5,), np.array([3.5]), np.array([3.5]))", {"prediction": [3.5]}),
        ("['a', 'b'], (np.eye(2), np.eye(2), np.zeros((2, 2, 2)))", {"prediction": [[1, 0], [0, 1]]}),
        ("[['a'], ['b']], (('a', 'b'), np.array([0, 0]), np.zeros(2))", {"prediction": ["a", "b"]}),
        ("None, (object(), np.array([1.5, 2]), None)", {"prediction": [1.5, 2]}),
    ],
)  # fmt: skip
def test_a_learner_alone_is_asked_as_fastai_asks_it(serve, learner: str, expected: dict):
    ask = serve(LEARNER % learner)
    assert content(ask(png(), "image/png")) == expected
    assert "picture" in refused(ask(b"[1]"), 415)
    assert refused(ask(b"junk", "image/png"), 400).startswith("not_an_image")


def test_a_learners_predict_fn_is_given_the_picture(serve):
    ask = serve(LEARNER % "None, None" + "def predict_fn(data, model): return [data.mode, *data.size]\n")
    assert content(ask(png(), "image/png")) == ["RGB", 20, 10]
    assert content(serve(LEARNER % "None, None" + "def predict_fn(data, model): return data\n")(b"[1]")) == [1]
