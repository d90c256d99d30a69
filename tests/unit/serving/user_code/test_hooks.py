from __future__ import annotations

import functools
import itertools
import json
import sys
from pathlib import Path

import pytest

from fastai_container.errors import UserError
from fastai_serving.user_code.hooks import Hook, ScriptError, collected, load_hooks

_names = itertools.count()


@pytest.fixture
def load(tmp_path: Path, monkeypatch):
    """``load(text)``: the hooks of a script of that text."""
    monkeypatch.setattr(sys, "path", list(sys.path))

    def loaded(text: str, name: str = ""):
        path = tmp_path / (name or f"mine_{next(_names)}.py")
        path.write_text(text)
        return load_hooks(path)

    return loaded


@pytest.mark.parametrize(
    ("definition", "got"),
    [
        ("predict_fn(data, model)", {}),
        ("predict_fn(data, model, context)", {"context": "CTX"}),
        ("predict_fn(data, model, ctx)", {"ctx": "CTX"}),
        ("predict_fn(data, model, context=None)", {"context": "CTX"}),
        ("predict_fn(data, model, *, context)", {"context": "CTX"}),
        ("predict_fn(data, model, *, context=None, top=3)", {"context": "CTX", "top": 3}),
        ("predict_fn(data, model, top=3)", {"top": 3}),
        ("predict_fn(data, model, *, top=3)", {"top": 3}),
        ("predict_fn(data, model, top=3, context=None)", {"top": 3, "context": "CTX"}),
        ("predict_fn(data, model, top=3, deep=4, *more)", {"top": 3, "deep": 4, "more": ()}),
        ("predict_fn(data, model, **kwargs)", {"kwargs": {}}),
        ("predict_fn(data, model, ctx, top=3, **kwargs)", {"ctx": "CTX", "top": 3, "kwargs": {}}),
        ("predict_fn(data, model, context, /)", {"context": "CTX"}),
        ("predict_fn(data, model, context=None, /)", {"context": "CTX"}),
        ("predict_fn(data, model=7)", {}),
        ("predict_fn(context, model)", {}),
    ],
)
def test_the_context_and_the_users_own_defaults(load, definition: str, got: dict):
    hook = load(f"def {definition}: return dict(locals())").predict_fn
    values = list(hook("D", "M", context="CTX").items())
    assert [value for _, value in values[:2]] == ["D", "M"]
    assert dict(values[2:]) == got


@pytest.mark.parametrize(
    "text",
    [
        "def model_fn(*arguments): return arguments",
        "def model_fn(model_dir, **kwargs): return (model_dir,)",
        "class Model:\n def __call__(self, model_dir, deep=2): return (model_dir,)\nmodel_fn = Model()",
        "import functools\ndef f(deep, model_dir): return (model_dir,)\nmodel_fn = functools.partial(f, 3)",
        "class A:\n @staticmethod\n def f(model_dir): return (model_dir,)\nmodel_fn = A.f",
        "async def model_fn(model_dir, *, deep=1): return (model_dir,)",
    ],
)
def test_whatever_can_be_called(load, text: str):
    assert load(text).model_fn("DIR", context="CTX") == ("DIR",)


def test_what_does_not_say_its_parameters():
    assert Hook(max)(1, 2) == 2


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("def transform_fn(a, b, c, d): 0\ndef output_fn(a, b): 0", "keep one or the other"),
        ("predict_fn = 3", "is no function"),
        ("def model_fn(): 0", "takes 0 arguments"),
        ("def input_fn(data): 0", "takes 1 argument"),
        ("def predict_fn(data, model, a, b): 0", r"takes 4 arguments \(data, model, a, b\)"),
        ("def predict_fn(data, model, *, top): 0", "top by name alone"),
        ("def predict_fn(*, data, model): 0", "by name alone"),
        ("x = 1", "none of the functions"),
    ],
)
def test_hooks_that_cannot_be(load, text: str, reason: str):
    with pytest.raises(ScriptError, match=reason):
        load(text)


def test_coroutines_share_one_loop(load):
    hooks = load(
        "import asyncio\n"
        "async def model_fn(model_dir): return asyncio.get_running_loop()\n"
        "async def predict_fn(data, model):\n"
        "    await asyncio.sleep(0)\n"
        "    return model is asyncio.get_running_loop()\n"
        "async def output_fn(prediction, accept, context):\n"
        "    for piece in (prediction, context): yield piece\n"
        "def input_fn(data, kind): return asyncio.run(predict_fn(data, None))\n"
    )
    model = hooks.model_fn("")
    assert hooks.predict_fn(b"", model) is True
    assert collected(hooks.output_fn("a", "", context="b")) == ["a", "b"]
    assert hooks.input_fn(b"", "") is False


def test_a_script_with_the_name_of_a_module_in_use(load):
    assert load("def model_fn(model_dir): return 'mine'", "json.py").model_fn("") == "mine"
    assert json.dumps(1) == "1"
    assert load("def model_fn(model_dir): return 'dashed'", "my-model.v2.py").model_fn("") == "dashed"


def test_the_first_error_names_the_image_that_has_it(load, monkeypatch):
    from fastai_serving.user_code import hints

    there = hints.is_installed
    monkeypatch.setattr(hints, "is_installed", lambda name: there(name) and name not in ("fastai", "fastai_training"))
    for name in [name for name in sys.modules if name.partition(".")[0] == "fastai"]:  # of other tests
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "fastai", None)
    with pytest.raises(UserError, match=r"mine_\d+\.py needs fastai, .*the training image"):
        load("import fastai")
    with pytest.raises(UserError, match=r"imports nowhere_to_be, which is not installed: .*requirements\.txt"):
        load("import nowhere_to_be")
    with pytest.raises(ImportError, match="cannot import name"):
        load("from json import nothing_of_it")


def test_a_script_for_fastai_1(load):
    pytest.importorskip("fastai")
    with pytest.raises(UserError, match=r"written for fastai 1"):
        load("from fastai.basic_train import *")


def test_the_toolkits_decoder_is_there_without_scipy(monkeypatch):
    from fastai_serving.user_code import hooks

    real = hooks.importlib.util.find_spec
    monkeypatch.setattr(hooks.importlib.util, "find_spec", lambda name: None if name == "scipy" else real(name))
    for name in [name for name in sys.modules if name.split(".")[0] in ("scipy", "sagemaker_inference")]:
        monkeypatch.delitem(sys.modules, name)
    hooks.import_decoder()
    from sagemaker_inference import decoder

    assert decoder.decode("1,2", "text/csv").tolist() == [1, 2]
    assert "scipy" not in sys.modules
    with pytest.raises(ImportError, match=r"requirements\.txt"):
        decoder.decode(b"", "application/x-npz")


def test_partials_and_wrapped_functions_keep_their_signature():
    def wrapper(function):
        @functools.wraps(function)
        def wrapped(*arguments, **named):
            return function(*arguments, **named)

        return wrapped

    from fastai_serving.user_code.hooks import _wants_context

    def predict_fn(data, model, context):
        return context

    script = Path("mine.py")
    assert _wants_context(script, "predict_fn", wrapper(predict_fn)) == "position"
    assert _wants_context(script, "predict_fn", dict) == ""  # written in C: it says nothing of its arguments
