"""An image's licences, from its inventory."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any


def components(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Everything that has a licence, each with its ecosystem."""
    parts = [item | {"from": kind} for kind in ("debian", "python", "java") for item in found[kind]]
    return parts + ([found["runtime"] | {"from": "runtime"}] if found["runtime"] else [])


def licence_table(found: Mapping[str, Any]) -> str:
    """How many parts have which licence, as a Markdown table; those without a known one are named below it.

    Debian's packages have a row for all: most have several licences, which the SBOM lists.
    """
    by_licence: dict[str, list[str]] = defaultdict(list)
    unknown = []
    for part in components(found):
        if not part["licences"]:
            unknown.append(f"{part['from']} {part['name']}")
        for licence in part["licences"] if part["from"] != "debian" else ():
            by_licence[licence].append(part["name"])
    debian = [package["name"] for package in found["debian"]]
    by_licence["Debian's packages: each as its file /usr/share/doc/*/copyright says"] = debian
    lines = ["| licence | parts | |", "|---|---:|---|"]
    for licence, names in sorted(by_licence.items(), key=lambda item: (-len(item[1]), item[0])):
        first = ", ".join(sorted(set(names))[:4])
        lines.append(f"| {licence} | {len(names)} | {first}{', …' if len(set(names)) > 4 else ''} |")
    lines.append("")
    lines.append(f"without a known licence: {', '.join(unknown) or 'none'}")
    lost = [text for part in found["python"] for text in part["lost"]]
    lines.append(f"licence texts that a package lists and the image lacks: {', '.join(lost) or 'none'}")
    return "\n".join(lines)
