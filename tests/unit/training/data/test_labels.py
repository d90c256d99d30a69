from __future__ import annotations

from pathlib import Path

from fastai_training.data.labels import Example, Examples


def test_classes_are_sorted_and_counted():
    items = [Example(Path(f"{number}.jpg"), label) for number, label in enumerate(("b", "a", "b"))]
    examples = Examples(Path(), items, "names")
    assert examples.vocab == ["a", "b"]
    assert examples.counts() == {"a": 1, "b": 2}
    assert examples.skipped == []
