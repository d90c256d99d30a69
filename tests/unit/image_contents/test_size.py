from __future__ import annotations

from fastai_image_contents.size import table


def test_the_largest_first_and_the_rest_in_one_line() -> None:
    assert table("area", {"/a": 1_000_000, "/b": 3_000_000, "/c": 2_000_000}, shown=2).splitlines() == [
        "| area | MB |",
        "|---|---:|",
        "| /b | 3.0 |",
        "| /c | 2.0 |",
        "| 1 others | 1.0 |",
    ]
