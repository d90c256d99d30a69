"""The snippets of docs/local-mode.md: the tests of the examples run the same calls; here, that names are right."""

from __future__ import annotations

import ast
import os
import re
import subprocess

import pytest

from tests.conftest import ROOT


@pytest.mark.parametrize("version", [2, 3])
def test_what_a_snippet_imports_is_there(version: int, request: pytest.FixtureRequest) -> None:
    text = (ROOT / "docs" / "local-mode.md").read_text().partition(f"## Version {version}\n")[2]
    snippet = re.findall(r"```python\n(.*?)```", text, re.DOTALL)[0]
    tree = ast.parse(snippet)
    imports = [ast.unparse(node) for node in tree.body if isinstance(node, ast.ImportFrom)]
    assert len(imports) >= 2
    imported = {name.name for node in tree.body if isinstance(node, ast.ImportFrom) for name in node.names}
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    defined = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    assert used - defined - {"print", "open"} <= imported
    python = request.getfixturevalue(f"sdk{version}_python")
    done = subprocess.run(
        [str(python), "-c", "\n".join(imports)],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "examples"), "SAGEMAKER_SUPPRESS_V2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
