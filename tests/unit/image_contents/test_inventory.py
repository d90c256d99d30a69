from __future__ import annotations

import email.message
import zipfile
from pathlib import Path

import pytest

from fastai_image_contents import inventory


def test_licences_of_debian_packages(tmp_path: Path) -> None:
    status = (
        "Package: one\nStatus: install ok installed\nVersion: 1-1\nArchitecture: amd64\n\n"
        "Package: two\nStatus: install ok installed\nSource: one (1)\nVersion: 1-1\nArchitecture: amd64\n\n"
        "Package: gone\nStatus: deinstall ok config-files\nVersion: 1-1\nArchitecture: amd64\n"
    )
    (tmp_path / "var/lib/dpkg").mkdir(parents=True)
    (tmp_path / "var/lib/dpkg/status").write_text(status)
    (tmp_path / "usr/share/doc/one").mkdir(parents=True)
    (tmp_path / "usr/share/doc/one/copyright").write_text(
        "Format: x\n\nFiles: *\nLicense: GPL-2+\n text\n\nLicense: MIT\n"
    )
    found = {package["name"]: package["licences"] for package in inventory.debian_packages(tmp_path)}
    assert found == {"one": ["GPL-2+", "MIT"], "two": ["GPL-2+", "MIT"]}, "two has the folder of its source"


@pytest.mark.parametrize(
    ("text", "licences"),
    [
        ("Files are under /usr/share/common-licenses/LGPL-2.1.\nLicense: prose", ["LGPL-2.1"]),
        ("the GNU Lesser General Public License, version 2.1 (or any later version)", ["LGPL-2.1-or-later"]),
        ("Permission is hereby granted,\n  free of charge, to any", ["MIT"]),
        ("", []),
    ],
)
def test_licences_of_free_copyright_files(text: str, licences: list[str]) -> None:
    assert inventory.debian_licences(text) == licences


def metadata(**fields: str) -> email.message.Message:
    message = email.message.Message()
    for name, value in fields.items():
        message[name.replace("_", "-")] = value
    return message


def test_a_python_package_says_its_licence_in_several_places(tmp_path: Path) -> None:
    text = tmp_path / "LICENSE"
    text.write_text("Apache License\n  Version 2.0, January 2004")
    both = metadata(License_Expression="MIT AND BSD-3-Clause", License="whatever")
    assert inventory.python_licences(both, [text]) == ["MIT AND BSD-3-Clause"]
    assert inventory.python_licences(metadata(License="Apache-2.0", Classifier="License :: MIT"), []) == ["Apache-2.0"]
    whole = metadata(License="Copyright\nall of it", Classifier="License :: OSI Approved :: BSD License")
    assert inventory.python_licences(whole, []) == ["BSD License"]
    assert inventory.python_licences(metadata(License="UNKNOWN"), [text]) == ["Apache-2.0"]
    assert inventory.python_licences(metadata(), []) == []


@pytest.mark.filterwarnings("ignore:Duplicate name")  # as the real jar has it
def test_the_jars_libraries(tmp_path: Path) -> None:
    jar = tmp_path / "model-server.jar"
    with zipfile.ZipFile(jar, "w") as archive:
        archive.writestr("org/slf4j/Logger.class", b"")
        for name in ("netty-buffer", "netty-codec"):
            archive.writestr("META-INF/io.netty.versions.properties", f"{name}.version=4.1.91.Final\n")
    found = [(part["name"], part["version"]) for part in inventory.jar_libraries(jar)]
    assert found == [("netty-buffer", "4.1.91.Final"), ("netty-codec", "4.1.91.Final"), ("slf4j-api", None)]
