"""What is built, pushed and tagged, decided by what the registry holds; ``tests/push`` does it with a real one."""

from __future__ import annotations

import pytest

from fastai_local.engine import Engine
from fastai_local.errors import LocalError
from fastai_local.process import Result
from fastai_push import push as subject
from fastai_push.aws import MOVING
from fastai_push.options import Options
from fastai_push.registry import DOCKER_MANIFEST, Manifest, Registry
from fastai_push.source import Source

COMMIT = "0123456789abcdef0123456789abcdef01234567"
SOURCE = Source(COMMIT, "1.2.3")
ENGINE = Engine("docker", "28.0", "28.0", "amd64", "buildx")
UPLOAD = f"{COMMIT[:12]}-cpu"
OURS = {
    "imageTagMutability": "IMMUTABLE_WITH_EXCLUSION",
    "imageTagMutabilityExclusionFilters": [{"filterType": "WILDCARD", "filter": pattern} for pattern in MOVING],
}


class FakeRegistry(Registry):
    """Stands for ECR: holds what it is given, and notes in which order."""

    def __init__(self, **tags: bytes) -> None:
        super().__init__("registry:5000", "")
        self.held: dict[str, Manifest] = {}
        self.tagged: list[str] = []
        for kind in ("serving", "training"):
            for name, body in tags.items():
                self.held[f"fastai-sagemaker-{kind}:{name}"] = Manifest(DOCKER_MANIFEST, body)

    def manifest(self, repository: str, tag: str) -> Manifest | None:
        return self.held.get(f"{repository}:{tag}")

    def tag(self, repository: str, tag: str, manifest: Manifest) -> None:
        self.held[f"{repository}:{tag}"] = manifest
        self.tagged.append(f"{repository.removeprefix('fastai-sagemaker-')}:{tag}")


def images(source: Source = SOURCE, **options) -> list[subject.Image]:
    return subject.wanted_images(Options(**options), source, ENGINE)


def set_tags(registry: Registry, repository: dict = OURS, dry_run: bool = False) -> bool:
    return subject.set_tags(
        registry, images(), {f"fastai-sagemaker-{kind}": repository for kind in ("serving", "training")}, dry_run
    )


def test_both_kinds_of_each_platform_are_wanted(monkeypatch) -> None:
    found = [(image.kind, image.platform, image.repository, image.tags.upload) for image in images()]
    assert found == [(kind, "linux/amd64", f"fastai-sagemaker-{kind}", UPLOAD) for kind in ("serving", "training")]
    inspected = Result(0, "Platforms: linux/amd64, linux/arm64\n")
    monkeypatch.setattr(Engine, "capture", lambda *_, **__: inspected)
    several = images(platforms=("linux/amd64", "linux/arm64"), repository="mine")
    assert [image.name(FakeRegistry(), image.tags.best) for image in several] == [
        f"registry:5000/mine-{kind}:1.2.3-cpu{more}" for more in ("", "-arm64") for kind in ("serving", "training")
    ]


def test_a_commit_that_is_there_is_not_built_again() -> None:
    empty = FakeRegistry()
    assert subject.lacking(empty, images(), SOURCE) == images()
    there = FakeRegistry(**{UPLOAD: b"1", "1.2.3-cpu": b"1"})
    assert subject.lacking(there, images(), SOURCE) == []
    del there.held[f"fastai-sagemaker-serving:{UPLOAD}"], there.held["fastai-sagemaker-serving:1.2.3-cpu"]
    assert [image.kind for image in subject.lacking(there, images(), SOURCE)] == ["serving"]


def test_a_tree_with_changes_is_always_built() -> None:
    dirty = Source(None, "1.2.3")
    there = FakeRegistry(**{"dirty-cpu": b"1"})
    assert len(subject.lacking(there, images(dirty), dirty)) == 2


@pytest.mark.parametrize("commits", [{}, {UPLOAD: b"this commit"}])
def test_a_version_that_is_another_commits_is_an_error(commits: dict[str, bytes]) -> None:
    there = FakeRegistry(**{"1.2.3-cpu": b"another commit"}, **commits)
    with pytest.raises(LocalError, match=r"serving:1\.2\.3-cpu is there already, .*: raise the version in container/"):
        subject.lacking(there, images(), SOURCE)


def test_tags_are_set_once_and_those_that_move_last() -> None:
    registry = FakeRegistry(**{UPLOAD: b"new", "cpu": b"old"})
    assert set_tags(registry)
    assert registry.tagged == ["serving:1.2.3-cpu", "training:1.2.3-cpu", "serving:cpu", "training:cpu"]
    assert {manifest.body for manifest in registry.held.values()} == {b"new"}
    assert not set_tags(registry)
    assert len(registry.tagged) == 4


def test_a_tag_that_stays_is_never_moved(capsys) -> None:
    registry = FakeRegistry(**{UPLOAD: b"new", "1.2.3-cpu": b"old"})
    with pytest.raises(LocalError, match="is another image: name another tag with --tag"):
        set_tags(registry)
    assert registry.tagged == []
    frozen = FakeRegistry(**{UPLOAD: b"new", "cpu": b"old"})
    assert set_tags(frozen, {"imageTagMutability": "IMMUTABLE"})
    assert frozen.tagged == ["serving:1.2.3-cpu", "training:1.2.3-cpu"]
    assert "fastai-sagemaker-serving:cpu stays what it was" in capsys.readouterr().err


def test_a_dry_run_says_what_it_would_tag_and_does_not(capsys) -> None:
    for registry in (FakeRegistry(), FakeRegistry(**{UPLOAD: b"new"})):
        set_tags(registry, dry_run=True)
        assert registry.tagged == []
        told = capsys.readouterr().out
        assert told.count("push: would tag ") == 4
        assert "push: would tag registry:5000/fastai-sagemaker-training:cpu\n" in told


def test_an_image_that_vanished_after_its_push_is_an_error() -> None:
    with pytest.raises(LocalError, match=f"serving:{UPLOAD} was pushed, but isn't there"):
        set_tags(FakeRegistry())


def test_an_engine_that_pushes_ocis_format_sets_the_tag_that_stays_to_dockers(monkeypatch) -> None:
    """An immutable tag can't be corrected afterwards, so what was pushed goes up under one that moves."""
    (image, _) = images()
    registry = FakeRegistry(**{"dirty-serving": b"pushed"})
    monkeypatch.setattr(Manifest, "as_docker", lambda self: Manifest(DOCKER_MANIFEST, self.body + b" as Docker has it"))
    monkeypatch.setattr(subject, "pushes_oci", lambda *_: True)
    monkeypatch.setattr(Engine, "capture", lambda *_, **__: Result(0))
    pushed: list[str] = []
    monkeypatch.setattr(subject, "push_image", lambda _engine, name, _env: pushed.append(name))
    subject._push_one(ENGINE, registry, image, image.name(registry, UPLOAD), {})
    assert pushed == ["registry:5000/fastai-sagemaker-serving:dirty-serving"]
    assert registry.tagged == [f"serving:{UPLOAD}"]
    assert registry.held[f"fastai-sagemaker-serving:{UPLOAD}"].body == b"pushed as Docker has it"
    monkeypatch.setattr(subject, "pushes_oci", lambda *_: False)
    subject._push_one(ENGINE, registry, image, image.name(registry, UPLOAD), {})
    assert pushed[1:] == [f"registry:5000/fastai-sagemaker-serving:{UPLOAD}"]
