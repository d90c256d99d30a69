"""Modules and functions are short enough to be read at once."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import pytest

from tests.conftest import ROOT

PRODUCT = ("container", "training", "serving", "docker", "examples")
FOLDERS = (*PRODUCT, "benchmarks", "tests")
#: Lines: of a module or a Java file, of half of all modules, of a function or a Java method.
LONGEST_FILE, MEDIAN_BELOW, LONGEST_FUNCTION = 400, 150, 60
#: How a method or constructor begins, in a class or in one inside of it; a class or a lambda's field is none.
JAVA_METHOD = re.compile(r"^(?P<indent> {4}| {8})(?!.*\b(?:class|enum|interface|record|new|return|else)\b)[\w@<].*\(")
JAVA_STATEMENT = re.compile(r"^\s*(?:if|for|while|switch|try|catch|synchronized|do)\b")


def sources(folders: tuple[str, ...], pattern: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob(pattern))


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def python_functions(path: Path) -> Iterator[tuple[str, int]]:
    """Each function of a module with its lines, its docstring among them."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{path.relative_to(ROOT)}:{node.lineno}: {node.name}", (node.end_lineno or 0) - node.lineno + 1


def java_methods(path: Path) -> Iterator[tuple[str, int]]:
    """Each method with its lines; it ends with a brace that stands where it began, as a formatter leaves it."""
    content = lines(path)
    for number, line in enumerate(content):
        begun = JAVA_METHOD.match(line)
        if not begun or JAVA_STATEMENT.match(line) or line.rstrip().endswith((";", "}")):
            continue
        end = next((later for later in range(number, len(content)) if content[later] == f"{begun['indent']}}}"), number)
        yield f"{path.relative_to(ROOT)}:{number + 1}: {line.strip()[:50]}", end - number + 1


def test_no_file_is_too_long():
    files = [*sources(FOLDERS, "*.py"), *sources(PRODUCT, "*.java")]
    long = {str(path.relative_to(ROOT)): count for path in files if (count := len(lines(path))) > LONGEST_FILE}
    assert len(files) > 200
    assert not long, f"more than {LONGEST_FILE} lines: {long}"


@pytest.mark.parametrize("pattern", ["*.py", "*.java"])
def test_most_files_are_short(pattern):
    counts = [count for path in sources(FOLDERS, pattern) if (count := len(lines(path)))]
    assert median(counts) < MEDIAN_BELOW


def test_no_function_is_too_long():
    functions = [found for path in sources(PRODUCT, "*.py") for found in python_functions(path)]
    methods = [found for path in sources(PRODUCT, "*.java") for found in java_methods(path)]
    long = {name: count for name, count in [*functions, *methods] if count > LONGEST_FUNCTION}
    assert len(functions) > 500
    assert len(methods) > 200
    assert not long, f"more than {LONGEST_FUNCTION} lines: {long}"


def test_a_long_function_and_a_long_method_are_found(tmp_path, monkeypatch):
    monkeypatch.setattr("tests.unit.test_sizes.ROOT", tmp_path)
    module, java = tmp_path / "x.py", tmp_path / "X.java"
    module.write_text("class A:\n    async def b(self):\n" + "        pass\n" * 60)
    assert list(python_functions(module)) == [("x.py:2: b", 61)]
    java.write_text(
        "final class X {\n    private final Y y = new Y(3);\n    X(int a,\n            int b) {\n"
        + "        if (a) {\n        }\n" * 30
        + "    }\n\n    static int b() {\n        return 1;\n    }\n}\n"
    )
    assert list(java_methods(java)) == [("X.java:3: X(int a,", 63), ("X.java:67: static int b() {", 3)]
