from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from fastai_container.errors import UserError
from fastai_serving.user_code import code_archive
from fastai_serving.user_code.code_archive import unpack


def archive(path: Path, *members: tuple[str, int, bytes]) -> str:
    with tarfile.open(path, "w:gz") as file:
        for name, mode, data in members:
            member = tarfile.TarInfo(name)
            member.mode, member.size = mode, len(data)
            file.addfile(member, io.BytesIO(data))
    return str(path)


def test_rights_of_an_archives_files(tmp_path: Path):
    (tmp_path / "code").mkdir()
    source = archive(tmp_path / "a.tar.gz", ("a.py", 0o4777, b"1"), ("run.sh", 0o2755, b""), ("b/c.py", 0o600, b"3"))
    unpack(source, tmp_path / "code")
    modes = {path.name: path.stat().st_mode & 0o7777 for path in (tmp_path / "code").rglob("*") if path.is_file()}
    assert modes == {"a.py": 0o755, "run.sh": 0o755, "c.py": 0o644}


def test_a_bomb_is_refused_before_it_is_written(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(code_archive, "MAX_BYTES", 10_000_000)
    (tmp_path / "code").mkdir()
    source = archive(tmp_path / "a.tar.gz", ("a.py", 0o644, b"1"), ("zeros", 0o644, bytes(30_000_000)))
    with pytest.raises(UserError, match=r"holds more than fits here \(28 MB or more, 9 MB are allowed\)"):
        unpack(source, tmp_path / "code")
    assert sum(path.stat().st_size for path in (tmp_path / "code").rglob("*")) == 1
    monkeypatch.setattr(code_archive, "MAX_FILES", 1)
    with pytest.raises(UserError, match="more than 1 files"):
        unpack(archive(tmp_path / "b.tar.gz", ("a", 0o644, b""), ("b", 0o644, b"")), tmp_path / "code")


@pytest.mark.parametrize("data", [b"", b"junk" * 1000, b"\x1f\x8b" + bytes(100), b"PK\x03\x04" + bytes(100)])
def test_garbage_is_one_sentence(tmp_path: Path, data: bytes):
    (tmp_path / "code").mkdir()
    (tmp_path / "a.tar.gz").write_bytes(data)
    with pytest.raises(UserError, match=r"no tar\.gz archive, or cut short") as caught:
        unpack(str(tmp_path / "a.tar.gz"), tmp_path / "code")
    assert "\n" not in str(caught.value)


def test_a_cut_archive(tmp_path: Path):
    (tmp_path / "code").mkdir()
    path = Path(archive(tmp_path / "a.tar.gz", ("a.py", 0o644, bytes(range(256)) * 500)))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UserError, match="cut short"):
        unpack(str(path), tmp_path / "code")
