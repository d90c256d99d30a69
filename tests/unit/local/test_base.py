from __future__ import annotations

from pathlib import Path

import pytest

from fastai_local import base
from fastai_local.errors import LocalError
from fastai_local.settings import Settings
from tests.unit.local.fake_engine import engine


def test_a_base_that_is_there_is_not_pulled() -> None:
    have = engine(present={"debian:bookworm-slim"})
    base.ensure_base(Settings(), have)
    assert all(words[0] != "pull" for words in have.asked)


def test_a_base_is_pulled_when_a_registry_answers(monkeypatch) -> None:
    monkeypatch.setattr(base, "make_base", lambda _: pytest.fail("made although it could be pulled"))
    base.ensure_base(Settings(), engine(pullable={"debian:bookworm-slim"}))


def test_the_cpu_base_is_made_when_it_cannot_be_pulled(monkeypatch) -> None:
    made = []
    monkeypatch.setattr(base, "make_base", made.append)
    base.ensure_base(Settings(), engine())
    assert len(made) == 1


def test_a_gpu_base_that_cannot_be_pulled_names_the_plain_one(monkeypatch) -> None:
    monkeypatch.setattr(base, "make_base", lambda _: pytest.fail("silently another base"))
    with pytest.raises(LocalError, match="BASE_IMAGE=debian:bookworm-slim"):
        base.ensure_base(Settings(device="gpu"), engine())
    with pytest.raises(LocalError, match="mine:1 can't be pulled"):
        base.ensure_base(Settings(base_image="mine:1"), engine())


def test_making_a_base_without_root_says_so(monkeypatch) -> None:
    monkeypatch.setattr(base.shutil, "which", lambda _: "/usr/sbin/debootstrap")
    monkeypatch.setattr(base.Path, "is_file", lambda _: True)
    monkeypatch.setattr(base.os, "geteuid", lambda: 1000)
    with pytest.raises(LocalError, match="sudo make base"):
        base.make_base(engine())
    monkeypatch.setattr(base.shutil, "which", lambda _: None)
    with pytest.raises(LocalError, match="apt-get install debootstrap"):
        base.make_base(engine())


def test_trimming_keeps_licences(tmp_path: Path) -> None:
    share = tmp_path / "usr" / "share"
    for name in ("doc/apt/copyright", "doc/apt/changelog.gz", "doc/empty/NEWS", "man/man1/ls.1.gz", "locale/de/x.mo"):
        (share / name).parent.mkdir(parents=True, exist_ok=True)
        (share / name).touch()
    (share / "locale" / "locale.alias").touch()
    (tmp_path / "etc").mkdir()
    (tmp_path / "var/lib/apt/lists/partial").mkdir(parents=True)
    base._trim(tmp_path)
    left = {str(path.relative_to(share)) for path in share.rglob("*") if path.is_file()}
    assert left == {"doc/apt/copyright", "locale/locale.alias"}
    assert not (share / "doc" / "empty").exists()
    assert not any((tmp_path / "var/lib/apt/lists").iterdir())
