"""What is left out of an image on purpose is no longer asked for by what is in it."""

from __future__ import annotations

import base64
import csv
import hashlib
from pathlib import Path

import pytest

from leave_out import NOTE, main, read_reasons
from tests.conftest import ROOT

LIST = "# Sends statistics,\n# and works without.\nOpenVINO_telemetry\n# Not ours.\nspacy\n"


@pytest.fixture
def packages(tmp_path) -> Path:
    """A site-packages folder with two distributions."""
    for name, lines in {
        "one-1.0": ["Requires-Dist: numpy>=1", "Requires-Dist: openvino-telemetry>=2023.2", "Requires-Dist: spacy<4"],
        "two-2.0": ["Requires-Dist: spacy-lookups", 'Requires-Dist: nbdev ; extra == "dev"'],
    }.items():
        info = tmp_path / f"{name}.dist-info"
        info.mkdir()
        head = ["Metadata-Version: 2.1", f"Name: {name.partition('-')[0]}", "Version: 1.0", *lines]
        text = "\n".join(head) + "\n\nRequires-Dist: spacy is only a text here\n"
        (info / "METADATA").write_bytes(text.encode())
        (info / "RECORD").write_text(f"{info.name}/METADATA,sha256=old,1\none.py,sha256=abc,3\n{info.name}/RECORD,,\n")
    (tmp_path / "leave-out.txt").write_text(LIST)
    return tmp_path


def test_the_reasons_are_the_comments_above(packages):
    reasons = read_reasons(packages / "leave-out.txt")
    assert reasons == {"openvino-telemetry": "Sends statistics, and works without.", "spacy": "Not ours."}


@pytest.mark.parametrize("kind", ["serving", "training"])
def test_every_name_that_is_left_out_has_a_reason(kind):
    reasons = read_reasons(ROOT / "docker" / "requirements" / f"leave-out-{kind}.txt")
    assert reasons
    assert all(reasons.values())


def test_requirements_go_and_a_note_stays(packages):
    two = (packages / "two-2.0.dist-info" / "METADATA").read_bytes()
    main(packages, packages / "leave-out.txt")
    main(packages, packages / "leave-out.txt")  # twice is once
    info = packages / "one-1.0.dist-info"
    assert (info / "METADATA").read_bytes() == (
        b"Metadata-Version: 2.1\nName: one\nVersion: 1.0\nRequires-Dist: numpy>=1\n\n"
        b"Requires-Dist: spacy is only a text here\n"
    )
    assert (info / NOTE).read_text().splitlines()[1:] == [
        "openvino-telemetry: Sends statistics, and works without.",
        "spacy: Not ours.",
    ]
    assert (packages / "two-2.0.dist-info" / "METADATA").read_bytes() == two
    assert not (packages / "two-2.0.dist-info" / NOTE).exists()


def test_the_record_is_that_of_the_files(packages):
    main(packages, packages / "leave-out.txt")
    with (packages / "one-1.0.dist-info" / "RECORD").open(newline="") as file:
        record = {name: (digest, size) for name, digest, size in csv.reader(file)}
    for name in ("one-1.0.dist-info/METADATA", f"one-1.0.dist-info/{NOTE}"):
        content = (packages / name).read_bytes()
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")
        assert record[name] == (f"sha256={digest}", str(len(content)))
    assert record["one.py"] == ("sha256=abc", "3")
