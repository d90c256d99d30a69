"""What every test keeps to, so that the suite passes on a machine without an engine and on a busy one."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.waiting import PATIENCE

FILES = sorted((ROOT / "tests").rglob("*.py"))
#: Seconds: a shorter limit fails on a machine that is busy with something else.
SHORTEST_LIMIT = 60
#: They ask for the engine themselves: one place for all tests, and the tests of the very module.
MAY_LOOK_FOR_AN_ENGINE = {"tests/engine.py", "tests/unit/local/test_engine.py"}
#: The folders of tests/unit, by the package whose tests they hold.
PACKAGES = {
    "fastai_container": "container",
    "fastai_sagemaker": "package",
    "fastai_training": "training",
    "fastai_serving": "serving",
    "fastai_local": "local",
    "fastai_push": "push",
    "fastai_image_contents": "image_contents",
}
#: Lines; what is shorter may be tested with what uses it.
SMALL = 40
#: Modules whose tests are in a file of another name, since they are tested by what they do together.
ELSEWHERE = {
    "container/fastai_container/errors.py": "tests/unit/container/test_pictures.py",
    "container/fastai_container/old_fastai.py": "tests/unit/container/test_foreign.py",
    "container/fastai_sagemaker/__init__.py": "tests/unit/package/test_public.py",
    "container/fastai_sagemaker/inference.py": "tests/unit/package/test_public.py",
    "container/fastai_sagemaker/learners.py": "tests/unit/package/test_public.py",
    "docker/fastai_image_contents/sbom.py": "tests/contract/test_contents.py",
    "docker/fastai_local/commands/help.py": "tests/unit/local/test_registry.py",
    "docker/fastai_local/commands/image_contents.py": "tests/contract/test_contents.py",
    "docker/fastai_local/runtime.py": "tests/unit/local/test_choose_runtime.py",
    "docker/fastai_push/cli.py": "tests/unit/push/test_docker_push.py",
    "docker/fastai_push/push.py": "tests/push/test_push.py",
    "docker/fastai_push/source.py": "tests/unit/push/test_docker_push.py",
    "serving/fastai_serving/worker/backends/__init__.py": "tests/unit/serving/worker/test_backends.py",
    "training/fastai_training/exporting/from_learner.py": "tests/unit/package/test_public.py",
    "training/fastai_training/exporting/quantization.py": "tests/unit/training/exporting/test_export.py",
    "training/fastai_training/fitting/learner.py": "tests/unit/package/test_public.py",
    "training/fastai_training/fitting/recipe.py": "tests/unit/training/fitting/test_fit.py",
    "training/fastai_training/fitting/resumable_loop.py": "tests/unit/training/fitting/test_fit.py",
    "training/fastai_training/job/installation.py": "tests/contract/test_training_script.py",
    "training/fastai_training/job/main.py": "tests/contract/test_training_job.py",
    "training/fastai_training/sample_data.py": "tests/contract/test_main_job.py",
}


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def seconds(node: ast.expr) -> float | None:
    number = isinstance(node, ast.Constant) and isinstance(node.value, int | float) and not isinstance(node.value, bool)
    return float(node.value) if number else None  # type: ignore[attr-defined]


def too_short(path: Path) -> Iterator[str]:
    """Limits under a minute, and comparisons with the time that something took."""
    for name, call in calls(path):
        limits = [keyword.value for keyword in call.keywords if keyword.arg == "timeout"]
        limits += call.args[:1] if name.endswith((".wait", ".join", ".communicate", ".settimeout")) else []
        for limit in map(seconds, limits):
            if limit is not None and 0 < limit < SHORTEST_LIMIT:
                yield f"{path.relative_to(ROOT)}:{call.lineno}: {name} waits {limit:g} s"
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Compare) and isinstance(node.left, ast.BinOp) and "monotonic" in ast.unparse(node.left):
            yield f"{path.relative_to(ROOT)}:{node.lineno}: {ast.unparse(node)} is true of a fast machine alone"


def test_no_test_depends_on_how_fast_the_machine_is():
    wrong = [line for path in FILES for line in too_short(path)]
    assert not wrong, f"wait for an event (tests/waiting.py, PATIENCE = {PATIENCE} s) instead: {wrong}"


def test_a_short_limit_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tests.unit.test_tests.ROOT", tmp_path)
    path = tmp_path / "test_x.py"
    path.write_text("p.wait(timeout=5)\nq.join(2)\nassert time.monotonic() - begin < 3\np.wait(timeout=60)\n")
    assert [line.partition(": ")[0] for line in too_short(path)] == ["test_x.py:1", "test_x.py:2", "test_x.py:3"]


def test_an_engine_is_asked_for_in_one_place():
    asking = [
        f"{path.relative_to(ROOT)}:{call.lineno}: {name}"
        for path in FILES
        if path.relative_to(ROOT).as_posix() not in MAY_LOOK_FOR_AN_ENGINE
        for name, call in calls(path)
        if name in ("find_engine", "docker.from_env", "docker.DockerClient")
    ]
    assert not asking, f"tests.engine.require_engine and docker_client skip with how to get an engine: {asking}"


def modules() -> Iterator[tuple[Path, Path]]:
    """Each module of the product with the file that its unit tests are in."""
    for folder in ("container", "training", "serving", "docker"):
        for path in (ROOT / folder).rglob("*.py"):
            package, *parents = path.relative_to(ROOT / folder).parts[:-1] or ("",)  # "": a script beside the packages
            own = path.parent.name.removeprefix("fastai_")  # a package's tests have its name
            name = {"__init__": own, "__main__": "main"}.get(path.stem, path.stem)
            yield path, ROOT.joinpath("tests", "unit", PACKAGES.get(package, package), *parents, f"test_{name}.py")


def test_each_module_has_the_unit_tests_of_its_name():
    found = dict(modules())
    assert len(found) > 100
    needless = [name for name in ELSEWHERE if not (ROOT / name).exists() or found[ROOT / name].exists()]
    assert not needless, f"these have a test of their own name, or are gone: {needless}"
    without = {
        path.relative_to(ROOT).as_posix(): test.relative_to(ROOT).as_posix()
        for path, test in sorted(found.items())
        if not test.exists() and len(path.read_text(encoding="utf-8").splitlines()) > SMALL
    }
    without = {name: test for name, test in without.items() if not (ROOT / ELSEWHERE.get(name, "nowhere")).exists()}
    assert not without, f"{len(without)} modules of more than {SMALL} lines have no file of unit tests: {without}"
