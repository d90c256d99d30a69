"""The main job's report, opened in a real browser."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from tests.contract.conftest import Job

pytestmark = [pytest.mark.engine, pytest.mark.pets]


@pytest.fixture(scope="module")
def chromium() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("there is no Chromium; Debian: apt-get install chromium")
    return found


@pytest.fixture
def folder(pets_job: Job) -> Path:
    return pets_job.folder / "output" / "data"


def browse(chromium: str, page: Path, profile: Path, *options: str) -> subprocess.CompletedProcess:
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
    flags += ["--disable-background-networking", "--disable-component-update", "--enable-logging=stderr"]
    flags += [f"--user-data-dir={profile}", *options, page.as_uri()]
    return subprocess.run([chromium, *flags], capture_output=True, text=True, timeout=120, check=True)


def test_it_opens_without_errors(chromium: str, folder: Path, tmp_path: Path):
    result = browse(chromium, folder / "report.html", tmp_path / "profile", "--dump-dom")
    assert "CONSOLE" not in result.stderr
    for heading in (
        "Training",
        "Worst mistakes",
        "Confusion matrix",
        "Classes",
        "Left out",
        "Hyperparameters",
        "Versions",
    ):
        assert re.search(f"<h2>{heading}", result.stdout), heading
    assert "CONSOLE" in console_of_a_broken_page(chromium, tmp_path)


def console_of_a_broken_page(chromium: str, folder: Path) -> str:
    """What the same command says of a page that does have an error: so that silence means something."""
    page = folder / "broken.html"
    page.write_text("<script>undefined_function()</script>")
    return browse(chromium, page, folder / "profile2", "--dump-dom").stderr


def test_it_shows_something(chromium: str, folder: Path, tmp_path: Path):
    picture = tmp_path / "report.png"
    options = (f"--screenshot={picture}", "--window-size=1100,3000", "--hide-scrollbars")
    browse(chromium, folder / "report.html", tmp_path / "profile", *options)
    with Image.open(picture) as image:
        assert image.size == (1100, 3000)
        assert len(image.convert("RGB").getcolors(maxcolors=2**24) or []) > 1000


def test_the_same_is_there_as_files(folder: Path):
    content = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    with (folder / "validation.csv").open(newline="") as file:
        wrong = [row for row in csv.DictReader(file) if row["label"] != row["predicted"]]
    assert len(content["mistakes"]) == len(wrong)
    with (folder / "classes.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 37
    assert sum(int(row["pictures"]) - int(row["right"]) for row in rows) == len(wrong)
    for name in ("curves.png", "confusion.png", "mistakes.png"):
        with Image.open(io.BytesIO((folder / name).read_bytes())) as image:
            assert image.width > 300
