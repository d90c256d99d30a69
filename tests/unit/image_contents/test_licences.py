from __future__ import annotations

from fastai_image_contents.licences import licence_table


def test_the_licence_table_names_what_has_none() -> None:
    part = {"name": "one", "licences": ["MIT"], "lost": ["/x/LICENSE"]}
    found = {"debian": [], "python": [part, part | {"name": "two", "licences": []}], "java": [], "runtime": None}
    text = licence_table(found)
    assert "| MIT | 1 | one |" in text
    assert "without a known licence: python two\n" in text
    assert "lacks: /x/LICENSE" in text
