"""The rules of docs/architecture.md about who may import whom, one test a rule.

Imports are read from the sources by ``ast``, those inside of functions too; imports for type checkers
alone are left out.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.conftest import ROOT

#: Where each folder's packages lie.
SOURCES = ("container", "training", "serving", "docker", "benchmarks", "examples")
JOB = ("fastai_training.job", "fastai_training.diagnosis")
#: The parts of training that the trainer puts together, each with those of them it may import.
PARTS = {
    "fastai_training.data": (),
    "fastai_training.fitting": ("fastai_training.data",),
    "fastai_training.exporting": ("fastai_training.data", "fastai_training.fitting"),
    "fastai_training.reporting": ("fastai_training.data",),
}
HEAVY = ("torch", "torchvision", "fastai", "timm", "openvino", "nncf", "matplotlib", "sklearn", "pandas")


def _name(path: Path) -> str:
    """``training/fastai_training/job/main.py`` is ``fastai_training.job.main``."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    parts = parts if parts[0] in ("benchmarks", "examples") else parts[1:]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def modules() -> dict[str, Path]:
    """Every module of the project outside of its tests, by its name."""
    found = [path for folder in SOURCES for path in (ROOT / folder).rglob("*.py")]
    return {_name(path): path for path in found if "licenses" not in path.parts}


def _nodes(node: ast.AST, *, functions: bool) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        if not functions and isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        yield child
        yield from _nodes(child, functions=functions)


def _imported(source: str, *, functions: bool = True) -> set[str]:
    """The names that ``source`` imports: modules, and what is taken from one as ``module.name``."""
    found = set()
    for node in _nodes(ast.parse(source), functions=functions):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "relative imports are not this project's style"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@cache
def imports(name: str, functions: bool = True) -> frozenset[str]:
    return frozenset(_imported(modules()[name].read_text(encoding="utf-8"), functions=functions))


def below(name: str, packages: tuple[str, ...] | str) -> bool:
    """Whether ``name`` is one of ``packages`` or lies in one."""
    packages = (packages,) if isinstance(packages, str) else packages
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def broken(
    who: tuple[str, ...] | str, never: tuple[str, ...] | str, *, but: tuple[str, ...] = (), functions: bool = True
) -> list[str]:
    """The imports by which ``who`` breaks the rule to ``never`` import something, as lines for a person."""
    users = [name for name in modules() if below(name, who) and not below(name, but)]
    assert users, f"no module is called {who}: the rule has lost its subject"
    return sorted(f"{user} imports {name}" for user in users for name in imports(user, functions) if below(name, never))


def test_the_shared_library_knows_neither_training_nor_serving():
    assert not broken("fastai_container", ("fastai_training", "fastai_serving", "fastai_sagemaker"))


def test_training_and_serving_do_not_know_each_other():
    assert not broken("fastai_training", "fastai_serving")
    assert not broken("fastai_serving", "fastai_training")


def test_the_public_package_stands_above_all_others():
    assert not broken(("fastai_container", "fastai_training", "fastai_serving"), "fastai_sagemaker")


def test_importing_the_public_package_imports_nothing_heavy():
    assert not broken("fastai_sagemaker", HEAVY, functions=False)


def test_examples_need_the_public_package_alone():
    packages = tuple({name.split(".")[0] for name in modules()} - {"fastai_sagemaker", "examples"})
    assert not broken("examples", packages)


def test_serving_never_imports_fastai():
    assert not broken("fastai_serving", ("fastai", "timm", "fastcore"))


def test_serving_starts_without_torch():
    """The image for CPUs has none: it is imported in functions, by what was given a GPU or what torch has made."""
    assert not broken("fastai_serving", ("torch", "torchvision"), functions=False)
    users = {line.split(" ")[0] for line in broken("fastai_serving", ("torch", "torchvision"))}
    assert users <= {"fastai_serving.worker.backends.torch_export", "fastai_serving.user_code.torch_models"}


def test_the_supervisor_and_a_worker_are_separate_processes():
    assert not broken("fastai_serving.supervisor", "fastai_serving.worker")
    assert not broken(("fastai_serving.worker", "fastai_serving.user_code"), "fastai_serving.supervisor")


def test_a_users_code_does_not_know_the_worker_that_runs_it():
    assert not broken("fastai_serving.user_code", "fastai_serving.worker")


def test_what_surrounds_a_job_never_imports_what_trains():
    assert not broken(JOB, HEAVY)
    assert not broken(JOB, (*PARTS, "fastai_training.trainer", "fastai_training.results", "fastai_training.world"))


@pytest.mark.parametrize(("part", "may"), PARTS.items(), ids=lambda value: str(value))
def test_each_part_of_training_imports_those_before_it(part: str, may: tuple[str, ...]):
    above = {*PARTS, "fastai_training.job", "fastai_training.trainer", "fastai_training.results"} - {part, *may}
    assert not broken(part, tuple(above))


def test_the_helpers_of_training_import_no_folder():
    folders = (*PARTS, *JOB, "fastai_training.trainer", "fastai_training.results")
    assert not broken("fastai_training", folders, but=("fastai_training.__main__", *folders))


def test_nothing_that_ships_imports_what_runs_on_the_users_machine():
    shipped = ("fastai_container", "fastai_training", "fastai_serving", "fastai_sagemaker")
    assert not broken(shipped, ("fastai_local", "fastai_push", "fastai_image_contents", "benchmarks"))


def test_benchmarks_reach_the_local_commands_in_one_module():
    assert not broken("benchmarks", ("fastai_local", "fastai_push"), but=("benchmarks.local_tools",))


def test_the_commands_need_nothing_but_python():
    """``make`` runs them before anything is installed."""
    allowed = ("fastai_local", "fastai_push", "fastai_image_contents")
    outside = {
        f"{user} imports {name}"
        for user in modules()
        if below(user, "fastai_local")
        for name in imports(user)
        if name.split(".")[0] not in sys.stdlib_module_names and not below(name, allowed)
    }
    assert not outside


def test_pictures_are_opened_in_one_place():
    users = {
        name
        for name, path in modules().items()
        if below(name, ("fastai_container", "fastai_training", "fastai_serving", "fastai_sagemaker"))
        and "Image.open(" in path.read_text(encoding="utf-8")
    }
    assert users == {"fastai_container.pictures"}


def _circle() -> list[str]:
    known = modules()

    def module_of(name: str) -> str | None:
        while name and name not in known:
            name = name.rpartition(".")[0]
        return name or None

    graph = {user: {found for name in imports(user) if (found := module_of(name)) and found != user} for user in known}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def test_no_module_imports_itself_by_way_of_others():
    assert not _circle()


def test_imports_are_found_where_they_hide():
    source = "import a.b\nfrom c import d\nif TYPE_CHECKING:\n    import e\ndef f():\n    import g\n"
    assert _imported(source) == {"a.b", "c.d", "g"}
    assert _imported(source, functions=False) == {"a.b", "c.d"}
