"""Runs inside an image, as `python3 -c`: prints what it finds there as JSON. Standard library only, none of ours."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import sys
import sysconfig
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

LICENCE_FILE = re.compile(r"(^|/)(licen[sc]es?|copying|notice)([./_-]|$)", re.IGNORECASE)
JAVA = Path("/opt/java")
OURS = Path("/opt/fastai-sagemaker")
# The packages in multi-model-server's jar, which has neither their metadata nor their licences. Only Netty's versions
# are in it. Group and artifact are Maven's.
JAR_PACKAGES = {
    "com/google/gson/": ("com.google.code.gson", "gson", "Apache-2.0"),
    "com/lmax/disruptor/": ("com.lmax", "disruptor", "Apache-2.0"),
    "org/apache/commons/cli/": ("commons-cli", "commons-cli", "Apache-2.0"),
    "org/apache/commons/io/": ("commons-io", "commons-io", "Apache-2.0"),
    "org/apache/logging/log4j/core/": ("org.apache.logging.log4j", "log4j-core", "Apache-2.0"),
    "org/apache/logging/log4j/util/": ("org.apache.logging.log4j", "log4j-api", "Apache-2.0"),
    "org/apache/logging/slf4j/": ("org.apache.logging.log4j", "log4j-slf4j-impl", "Apache-2.0"),
    "org/slf4j/": ("org.slf4j", "slf4j-api", "MIT"),
    "software/amazon/ai/mms/": ("software.amazon.ai", "mms-server-sdk", "Apache-2.0"),
}


def debian_packages(root: Path = Path("/")) -> Iterator[dict[str, Any]]:
    """dpkg's installed packages, each with the licences that its copyright file names, or that of its source's."""
    paragraphs = (root / "var/lib/dpkg/status").read_text(encoding="utf-8").split("\n\n")
    pattern = re.compile(r"^(Package|Version|Architecture|Status|Source): (\S.*)$", re.MULTILINE)
    installed = [fields for fields in map(dict, map(pattern.findall, paragraphs)) if _is_installed(fields)]
    copyrights: dict[str, Path] = {}
    for fields in installed:
        path = root / "usr/share/doc" / fields["Package"] / "copyright"
        if path.is_file():
            copyrights[fields["Package"]] = path
            copyrights.setdefault(_source(fields), path)
    for fields in installed:
        found = copyrights.get(fields["Package"]) or copyrights.get(_source(fields))
        text = found.read_text(encoding="utf-8", errors="replace") if found else ""
        yield {
            "name": fields["Package"],
            "version": fields["Version"],
            "arch": fields["Architecture"],
            "licences": debian_licences(text),
            "texts": [str(found)] if found else [],
        }


def _is_installed(fields: dict[str, str]) -> bool:
    return fields.get("Status", "").endswith(" installed")


def _source(fields: dict[str, str]) -> str:
    return "source " + fields.get("Source", fields["Package"]).partition(" ")[0]


def debian_licences(copyright_text: str) -> list[str]:
    """The names after `License:` where the file is in Debian's machine-readable format, else the common licences that
    it refers to, else what its words say."""
    named = []
    if copyright_text.startswith(("Format:", "Format-Specification:")):
        named = re.findall(r"^License:[ \t]*(\S.*)$", copyright_text, re.MULTILINE)
    if not named:
        named = re.findall(r"/usr/share/common-licenses/([A-Za-z]+(?:-[0-9]+(?:\.[0-9]+)?)?)", copyright_text)
    if not named:
        named = [name for name in (licence_of_text(copyright_text),) if name]
    return sorted({name.strip() for name in named})


def licence_of_text(text: str) -> str | None:
    """The licence whose well-known words a text has."""
    text = " ".join(text.split())
    if "Apache License" in text and "Version 2.0" in text:
        return "Apache-2.0"
    if "PYTHON SOFTWARE FOUNDATION LICENSE" in text:
        return "PSF-2.0"
    if "GNU Lesser General Public License, version 2.1" in text:
        return "LGPL-2.1-or-later" if "any later version" in text else "LGPL-2.1-only"
    if "Redistribution and use in source and binary forms" in text:
        return "BSD-3-Clause" if "ndorse or promote products" in text else "BSD-2-Clause"
    if "Permission is hereby granted, free of charge" in text:
        return "MIT"
    return None


def python_licences(metadata: Any, texts: list[Path]) -> list[str]:
    """From the newest field to the oldest; where none says it, from the licence's text."""
    if metadata.get("License-Expression"):
        return [metadata["License-Expression"]]
    field = (metadata.get("License") or "").strip()
    if field and len(field) < 60 and "\n" not in field and field not in ("UNKNOWN", "Dual License"):
        return [field]
    classifiers = [name for name in metadata.get_all("Classifier") or [] if name.startswith("License :: ")]
    if classifiers:
        return [name.rpartition(" :: ")[2] for name in classifiers]
    found = (licence_of_text(path.read_text(encoding="utf-8", errors="replace")) for path in texts)
    return sorted({name for name in found if name})


def python_packages(folders: list[str]) -> Iterator[dict[str, Any]]:
    """The installed distributions, each with its licences and the texts of them that ship."""
    seen = set()
    for distribution in importlib.metadata.distributions(path=folders):
        name = distribution.metadata["Name"]
        if name in seen:
            continue
        seen.add(name)
        listed = [file for file in distribution.files or [] if LICENCE_FILE.search(str(file))]
        listed = [file for file in listed if not str(file).endswith((".py", ".pyc", ".json", ".gz"))]
        texts = [Path(str(distribution.locate_file(file))) for file in listed]
        there = [path for path in texts if path.is_file()]
        yield {
            "name": name,
            "version": distribution.version,
            "licences": python_licences(distribution.metadata, there),
            "texts": [str(path) for path in there],
            "lost": [str(path) for path in texts if path not in there and ".dist-info/" in str(path)],
        }


def jar_libraries(jar: Path) -> Iterator[dict[str, Any]]:
    """The libraries inside multi-model-server's jar; a version only where the jar has it."""
    with zipfile.ZipFile(jar) as archive:
        versions = set()
        for entry in archive.infolist():  # several entries have the same name
            if entry.filename == "META-INF/io.netty.versions.properties":
                text = archive.read(entry).decode(errors="replace")
                versions |= set(re.findall(r"^([a-z0-9-]+)\.version=(\S+)$", text, re.MULTILINE))
        names = archive.namelist()
    for name, version in sorted(versions):
        yield {"group": "io.netty", "name": name, "version": version, "licences": ["Apache-2.0"]}
    for prefix, (group, name, licence) in JAR_PACKAGES.items():
        if any(entry.startswith(prefix) for entry in names):
            yield {"group": group, "name": name, "version": None, "licences": [licence]}


def java_runtime(folder: Path = JAVA) -> dict[str, Any] | None:
    """jlink's runtime: its release and modules."""
    release = folder / "release"
    if not release.is_file():
        return None
    fields = dict(re.findall(r'^(\w+)="(.*)"$', release.read_text(encoding="utf-8"), re.MULTILINE))
    return {
        "name": "openjdk",
        "version": fields.get("JAVA_VERSION", "unknown"),
        "modules": fields.get("MODULES", "").split(),
        "licences": ["GPL-2.0-only WITH Classpath-exception-2.0"],
        "texts": [str(path) for path in sorted((folder / "legal").glob("*/*")) if path.is_file()],
    }


def bytes_below(path: Path) -> int:
    """The bytes of all files below a folder, links not followed."""
    if path.is_symlink() or not path.is_dir():
        return path.lstat().st_size
    total = 0
    for folder, _, files in os.walk(path):
        total += sum(Path(folder, name).lstat().st_size for name in files)
    return total


def sizes(packages: Path) -> dict[str, dict[str, int]]:
    """Bytes of each area of the image, and of each Python package with its libraries and metadata."""
    areas = {str(path): bytes_below(path) for path in sorted(Path("/opt").iterdir())}
    areas |= {f"/{name}": bytes_below(Path("/", name)) for name in ("usr", "var", "etc")}
    by_package: dict[str, int] = {}
    for path in packages.iterdir():
        name = re.sub(r"(-[0-9][^-]*\.dist-info|\.libs|\.py|\.pth)$", "", path.name).lower().replace("-", "_")
        by_package[name] = by_package.get(name, 0) + bytes_below(path)
    return {"areas": areas, "packages": by_package}


def main() -> None:
    packages = Path(sysconfig.get_path("purelib"))
    jars = [jar for jar in packages.rglob("*.jar") if jar.name == "model-server.jar"]
    found = {
        "debian": list(debian_packages()),
        "python": list(python_packages([str(packages), str(OURS / "python")])),
        "java": [library for jar in jars for library in jar_libraries(jar)],
        "runtime": java_runtime(),
        "sizes": sizes(packages),
    }
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
