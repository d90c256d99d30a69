from __future__ import annotations

import pytest

from benchmarks import size


def test_the_largest_parts_of_a_folder() -> None:
    sizes = size._megabytes(["1000\t/a", "600\t/a/x", "300\t/a/x/deep", "400\t/a/y", "no line of du's"])
    assert [name for name, _ in size.largest(sizes, "/a")] == ["x", "y"]
    assert sizes["/a/x"] == pytest.approx(0.6144)
