"""``make sbom`` and ``make size`` by what an engine and an inventory say; the contract tests read real images."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fastai_local.commands import image_contents as subject
from fastai_local.engine import Engine
from fastai_local.errors import LocalError
from fastai_local.process import Result
from fastai_local.settings import Settings

IMAGES = ["fastai-sagemaker-serving:cpu", "fastai-sagemaker-training:cpu"]
PART = {"name": "one", "version": "1", "licences": ["MIT"], "texts": [], "lost": []}
FOUND = {
    "debian": [],
    "python": [PART],
    "java": [],
    "runtime": None,
    "sizes": {"areas": {"/opt/venv": 3_000_000}, "packages": {"one": 2_000_000}},
}
LABELS = {"org.opencontainers.image.version": "1.2.3", "org.opencontainers.image.created": "2026-11-22T10:00:00Z"}
INSPECTED = {"Id": "sha256:0", "Architecture": "amd64", "Size": 4_000_000, "Config": {"Labels": LABELS}}


class FakeEngine(Engine):
    """An engine whose images all are the same."""

    def capture(self, *args: str | Path, timeout: float = 60) -> Result:
        if args[0] == "run":
            assert args[args.index("--network") + 1] == "none"
            return Result(0, json.dumps(FOUND)) if args[args.index("-I") - 1] in IMAGES else Result(125, "", "gone\nso")
        return Result(0, json.dumps([INSPECTED]))


ENGINE = FakeEngine("docker", "28.0", "28.0", "amd64", "buildx")


@pytest.fixture(autouse=True)
def engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "find_engine", lambda: ENGINE)


def test_an_image_says_itself_what_it_is() -> None:
    about = subject.identity(ENGINE, IMAGES[0])
    assert (about["id"], about["arch"], about["bytes"]) == ("sha256:0", "amd64", 4_000_000)
    assert (about["version"], about["revision"], about["created"]) == ("1.2.3", "unknown", "2026-11-22T10:00:00Z")


def test_an_image_that_cannot_be_run_is_named_with_the_engines_last_word() -> None:
    assert subject.inventory(ENGINE, IMAGES[0]) == FOUND
    with pytest.raises(LocalError, match=r"^elsewhere:1 can't be inspected: so$"):
        subject.inventory(ENGINE, "elsewhere:1")


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[dict]:
    """What is given to the module that writes CycloneDX, whose own environment isn't made here."""
    given: list[dict] = []

    def stream(words: list, **_: object) -> int:
        assert words[1:3] == ["-m", "fastai_image_contents.sbom"]
        given.append(json.loads(Path(words[3]).read_text()) | {"target": words[4]})
        return 0

    monkeypatch.setattr(subject, "ensure_side_environment", lambda *_: Path("python"))
    monkeypatch.setattr(subject, "stream", stream)
    return given


def test_the_lists_of_both_images_are_written_and_their_licences_told(written, tmp_path: Path, capsys) -> None:
    assert subject.sbom_command(Settings(root=tmp_path)) == 0
    names = ["fastai-sagemaker-serving-cpu.cdx.json", "fastai-sagemaker-training-cpu.cdx.json"]
    assert [call["target"] for call in written] == [tmp_path / "build" / "sbom" / name for name in names]
    assert [call["about"]["image"] for call in written] == IMAGES
    assert written[0]["components"] == [PART | {"from": "python"}]
    assert capsys.readouterr().out.count("| MIT | 1 | one |") == 2
    assert subject.sbom_command(Settings(root=tmp_path, out=tmp_path / "mine")) == 0
    assert written[2]["target"].parent == tmp_path / "mine"


def test_a_list_that_is_not_written_is_an_error(written, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr(subject, "stream", lambda *_, **__: 1)
    with pytest.raises(LocalError, match=f"SBOM of {IMAGES[0]} could not be written"):
        subject.sbom_command(Settings(root=tmp_path))


def test_the_sizes_of_both_images_are_told(capsys) -> None:
    assert subject.size_command(Settings()) == 0
    told = capsys.readouterr().out
    assert all(image in told for image in IMAGES)
    assert told.count("| one | 2.0 |") == 2
