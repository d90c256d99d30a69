"""Error codes are one table: what Python and the front end's Java send, and what serving/README.md says of it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from fastai_serving import errors
from fastai_serving.errors import ErrorCode
from fastai_serving.responses import RequestError
from fastai_serving.supervisor.mms_server import PLUGIN_SOURCES
from tests.conftest import ROOT

SERVING = ROOT / "serving" / "fastai_serving"
JAVA = PLUGIN_SOURCES
TABLES = (SERVING / "errors.py", JAVA / "org" / "fastaisagemaker" / "mms" / "ErrorCode.java")
#: Codes that are ordinary words too: the key of an error's JSON, a test of a log level, a property.
WORDS = {"error", "timeout"}


def sources(folder: Path, pattern: str) -> dict[Path, str]:
    return {path: path.read_text(encoding="utf-8") for path in folder.rglob(pattern) if path not in TABLES}


def java_table() -> dict[str, int]:
    members = re.findall(r"^    ([A-Z_]+)\((\d+)\)[,;]$", TABLES[1].read_text(encoding="utf-8"), re.MULTILINE)
    return {name: int(status) for name, status in members}


def members_used(texts: dict[Path, str]) -> set[str]:
    return {name for text in texts.values() for name in re.findall(r"\bErrorCode\.([A-Z_]+)\b", text)}


def codes_of_pictures() -> set[str]:
    """The codes that ``fastai_container`` spells out, which knows nothing of serving."""
    found = set()
    for text in sources(ROOT / "container", "*.py").values():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "PictureError":
                found |= {node.args[0].value} if isinstance(node.args[0], ast.Constant) else set()
    return found


def literals(texts: dict[Path, str]) -> Iterator[str]:
    codes = {known.value for known in ErrorCode} - WORDS
    for path, text in texts.items():
        if path.suffix == ".java":
            strings = re.findall(r'"((?:[^"\\\n]|\\.)*)"', text)
        else:
            strings = [node.value for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant)]
        yield from (f"{path.name}: {string}" for string in strings if string in codes)


def test_the_front_ends_codes_are_those_of_the_table():
    found = java_table()
    assert len(found) > 20
    assert found.items() <= {known.name: known.status for known in ErrorCode}.items()
    assert members_used(sources(JAVA, "*.java")) == found.keys()


def test_every_code_is_sent_by_someone():
    pictures = codes_of_pictures()
    assert pictures == {"not_an_image", "truncated", "too_many_pixels", "too_complex", "unsupported_depth"}
    sent = members_used(sources(SERVING, "*.py")) | java_table().keys() | {ErrorCode(code).name for code in pictures}
    assert sent == {known.name for known in ErrorCode}


def test_a_code_is_spelt_out_in_the_tables_alone():
    assert list(literals(sources(SERVING, "*.py") | sources(JAVA, "*.java"))) == []


def test_one_that_is_spelt_out_elsewhere_is_found():
    texts = {
        Path("x.py"): 'RequestError("bad_json", "no")',
        Path("X.java"): 'new HttpError("busy", "try \\"again\\"");',
    }
    assert list(literals(texts)) == ["x.py: bad_json", "X.java: busy"]


def test_the_readme_has_every_code():
    assert errors.table() in (ROOT / "serving" / "README.md").read_text(encoding="utf-8"), (
        "paste the output of python -m fastai_serving.errors into serving/README.md"
    )
    assert all(f"| `{known.value}` |" in errors.table() for known in ErrorCode)


def test_a_members_name_is_its_code():
    assert [known.name.lower() for known in ErrorCode] == [known.value for known in ErrorCode]
    assert all(400 <= known.status <= 599 and known.meaning for known in ErrorCode)


def test_a_request_error_has_its_codes_status_unless_another_is_given():
    assert RequestError(ErrorCode.BAD_JSON, "no").status == 400
    assert RequestError(ErrorCode.SCRIPT_ERROR, "no", 418).status == 418
