"""The code runs on the oldest Python that pyproject.toml promises, whichever runs the tests.

``tests/matrix.py`` runs the unit tests on each; this finds what is newer without having them.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.matrix import VERSIONS

OLDEST = (3, 10)
FOLDERS = ("container", "training", "serving", "docker", "benchmarks", "examples", "tests")
FILES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
#: Of the standard library, newer than OLDEST; "" is for built-in names.
NEWER_MODULES = {"tomllib", "wsgiref.types", "importlib.resources.abc", "importlib.resources.simple"}
NEWER_NAMES = {
    "": "BaseExceptionGroup ExceptionGroup PythonFinalizationError",
    "asyncio": "Barrier EventLoop QueueShutDown Runner TaskGroup eager_task_factory timeout timeout_at",
    "calendar": "Day Month",
    "collections.abc": "Buffer",
    "contextlib": "chdir",
    "copy": "replace",
    "datetime": "UTC",
    "enum": "EnumCheck FlagBoundary ReprEnum StrEnum global_enum member nonmember property verify",
    "hashlib": "file_digest",
    "inspect": "BufferFlags getmembers_static markcoroutinefunction",
    "itertools": "batched",
    "logging": "getHandlerByName getHandlerNames getLevelNamesMapping",
    "math": "cbrt exp2 fma sumprod",
    "operator": "call",
    "os": "listdrives process_cpu_count setns unshare",
    "os.path": "isdevdrive isjunction isreserved splitroot",
    "pathlib": "UnsupportedOperation",
    "queue": "ShutDown",
    "random": "binomialvariate",
    "re": "NOFLAG PatternError",
    "socket": "SO_INCOMING_CPU",
    "sys": "activate_stack_trampoline exception monitoring",
    "threading": "setprofile_all_threads settrace_all_threads",
    "types": "CapsuleType get_original_bases",
    "typing": "LiteralString Never NoDefault NotRequired ReadOnly Required Self TypeAliasType TypeIs TypeVarTuple "
    "Unpack assert_never assert_type clear_overloads dataclass_transform get_overloads get_protocol_members "
    "is_protocol override reveal_type",
    "warnings": "deprecated",
}
#: Of whatever object: nothing older has a method or a keyword of this name.
NEWER_METHODS = {"add_note", "from_uri", "full_match", "is_junction"}
NEWER_KEYWORDS = {"case_sensitive", "delete_on_close", "onexc", "recurse_symlinks", "walk_up"}


def is_newer(name: str) -> bool:
    module, _, last = name.rpartition(".")
    return name in NEWER_MODULES or last in NEWER_NAMES.get(module, "").split()


def newer(path: Path) -> Iterator[str]:
    """What a file uses that OLDEST doesn't have, each with its line."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"), feature_version=OLDEST)
    except SyntaxError as error:
        yield f"{path.relative_to(ROOT)}:{error.lineno}: {error.msg}"
        return
    modules = {
        found.asname or found.name: found.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for found in node.names
    }
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [found.name for found in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module or "", *(f"{node.module}.{found.name}" for found in node.names)]
        elif isinstance(node, ast.Name):
            names = [node.id]
        elif isinstance(node, ast.Attribute):
            names = [f"{modules.get(ast.unparse(node.value), '')}.{node.attr}".lstrip(".")]
            if node.attr in NEWER_METHODS:
                yield f"{path.relative_to(ROOT)}:{node.lineno}: .{node.attr}"
            if not names[0].count("."):
                names = []  # an attribute of something that is no module
        elif isinstance(node, ast.Call):
            for word in node.keywords:
                if word.arg in NEWER_KEYWORDS:
                    yield f"{path.relative_to(ROOT)}:{node.lineno}: {word.arg}="
        for name in filter(is_newer, names):
            yield f"{path.relative_to(ROOT)}:{node.lineno}: {name}"


def test_nothing_newer_than_the_oldest_python_is_used():
    found = [line for path in FILES for line in newer(path)]
    assert len(FILES) > 200
    assert not found, f"Python {OLDEST[0]}.{OLDEST[1]} has none of these: {found}"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("import tomllib", "tomllib"),
        ("from typing import Any, Self", "typing.Self"),
        ("import datetime\ndatetime.UTC", "datetime.UTC"),
        ("import datetime as d\nd.UTC", "datetime.UTC"),
        ("raise ExceptionGroup('', [])", "ExceptionGroup"),
        ("from enum import StrEnum", "enum.StrEnum"),
        ("error.add_note('')", ".add_note"),
        ("shutil.rmtree(path, onexc=print)", "onexc="),
        ("try:\n    pass\nexcept* ValueError:\n    pass", ""),
        ("type Name = str", ""),
        ("def first[T](items: list[T]) -> T: ...", ""),
    ],
)
def test_each_kind_of_newness_is_found(tmp_path, monkeypatch, text, what):
    monkeypatch.setattr("tests.unit.test_python_versions.ROOT", tmp_path)
    path = tmp_path / "x.py"
    path.write_text(text)
    found = list(newer(path))
    assert len(found) == 1
    assert what in found[0]


@pytest.mark.parametrize("text", ["self.path = 1", "from datetime import timezone", "Self = 1\nUTC = 2", "a.UTC"])
def test_other_things_of_such_names_are_none(tmp_path, text):
    path = tmp_path / "x.py"
    path.write_text(text)
    assert list(newer(path)) == []


def test_the_linter_and_the_matrix_begin_with_the_same_version():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    oldest = f"{OLDEST[0]}.{OLDEST[1]}"
    assert re.findall(r'^requires-python = ">=([\d.]+)"', text, re.MULTILINE) == [oldest]
    # Ruff refuses a file whose grammar is newer, nested quotes of f-strings too, which ast lets pass.
    assert re.findall(r'^target-version = "(\w+)"', text, re.MULTILINE) == [f"py{oldest.replace('.', '')}"]
    assert VERSIONS[0] == oldest
