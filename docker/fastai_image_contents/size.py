"""The largest parts of an image, as Markdown tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SHOWN = 20


def table(title: str, sizes: Mapping[str, int], shown: int = SHOWN) -> str:
    """The largest first, the rest in one line. MB are 10^6 bytes of the files' contents."""
    rows = sorted(sizes.items(), key=lambda item: (-item[1], item[0]))
    lines = [f"| {title} | MB |", "|---|---:|"]
    lines += [f"| {name} | {size / 1e6:.1f} |" for name, size in rows[:shown]]
    if rows[shown:]:
        lines.append(f"| {len(rows) - shown} others | {sum(size for _, size in rows[shown:]) / 1e6:.1f} |")
    return "\n".join(lines)


def report(about: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    sizes = found["sizes"]
    heading = f"### {about['image']}: {about['bytes'] / 1e6:.0f} MB in the engine"
    return "\n\n".join((heading, table("area", sizes["areas"]), table("Python package", sizes["packages"]), ""))
