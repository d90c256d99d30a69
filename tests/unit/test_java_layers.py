"""No Java class of the plug-in needs itself by way of others.

The classes that a source names are read from its words, its comments and strings left out: a class is named by its own
name alone, since all lie in one package but two, which import what they need from it.
"""

from __future__ import annotations

import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.conftest import ROOT

JAVA = ROOT / "serving" / "fastai_serving" / "mms_plugin" / "src"
#: Comments, text blocks, strings and characters, in the order in which they are tried.
NO_CODE = re.compile(r'//[^\n]*|/\*.*?\*/|"""(?:\\.|.)*?"""|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\'', re.DOTALL)


def references(sources: dict[str, str]) -> dict[str, set[str]]:
    """For each class, by its name, the others among ``sources`` that it names."""
    words = {name: set(re.findall(r"\w+", NO_CODE.sub(" ", text))) for name, text in sources.items()}
    return {name: (words[name] & sources.keys()) - {name} for name in sources}


def circle(graph: dict[str, set[str]]) -> str | None:
    """One circle, as ``A needs B needs A``; None where there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return " needs ".join(reversed(error.args[1]))
    return None


def plugin() -> dict[str, str]:
    return {path.stem: path.read_text(encoding="utf-8") for path in JAVA.rglob("*.java")}


def test_no_class_needs_itself_by_way_of_others():
    graph = references(plugin())
    assert len(graph) > 20
    assert graph["ModelResponseDecoder"] >= {"ErrorCode", "ResponseMemory"}
    found = circle(graph)
    assert found is None, f"a circle: {found}"


def test_a_circle_is_found_and_named():
    a = "/** Unlike C. */ class A { B b; }"
    assert circle(references({"A": a, "B": 'class B { String c = "C"; } // A', "C": "class C { A a; }"})) is None
    found = circle(references({"A": a, "B": "class B extends C {}", "C": "class C { char c = 'x'; A a; }"}))
    assert found in ("A needs B needs C needs A", "B needs C needs A needs B", "C needs A needs B needs C")


@pytest.mark.parametrize("text", ["'\"' + B.C", '"\\"" + B.C + "\\""', '/* " */ B.C', "// '\nB.C"])
def test_what_stands_beside_strings_and_comments_is_read(text: str):
    assert references({"A": text, "B": ""}) == {"A": {"B"}, "B": set()}


def test_sources_are_named_as_their_classes():
    for name, text in plugin().items():
        assert re.search(rf"\b(?:class|enum|interface|record) {name}\b", text), Path(name)
