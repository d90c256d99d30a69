from __future__ import annotations

from pathlib import Path

import pytest

from fastai_container.errors import UserError
from fastai_container.requirements import read, unsatisfied


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch) -> None:
    """Packages of this image: one that lacks what it asks for, as fastai lacks spaCy, and one with an extra."""
    for name, version, metadata in (
        ("whole", "2.0+cpu", ""),
        ("left_out", "1.5", "Requires-Dist: gone\n"),
        ("extras", "3.0", "Provides-Extra: a\nRequires-Dist: whole>=2; extra == 'a'\n"
         "Provides-Extra: b\nRequires-Dist: gone; extra == 'b'\n"),
        ("ring", "1.0", "Provides-Extra: all\nRequires-Dist: ring[all]; extra == 'all'\n"),
        ("early", "2.0rc1", ""),
    ):  # fmt: skip
        folder = tmp_path / "site" / f"{name}-{version}.dist-info"
        folder.mkdir(parents=True)
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{metadata}")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))


def write(folder: Path, text: str | bytes, name: str = "requirements.txt") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing\n\n",
        "whole",
        "Whole==2.0  # the local version of torch+cpu counts as 2.0",
        "left-out>=1,<2",
        "LEFT.OUT",
        "extras[a]",
        "ring[all]",
        "early>=2.0rc1",
        "gone; python_version < '3'",
        "gone ; sys_platform == 'win32'",
        "whole \\\n  --hash=sha256:00 \\\n  --hash=sha256:11",
        "--extra-index-url https://example.com\nwhole",
        "-r more.txt",
        "--requirement=more.txt\n-c limits.txt",
        b"\xef\xbb\xbfwhole\r\nleft_out\r\n",
        b"\xff\xfe" + "whole\r\nleft_out".encode("utf-16-le"),
    ],
)
def test_nothing_to_install(tmp_path: Path, text: str | bytes):
    write(tmp_path, "whole\nleft_out", "more.txt")
    write(tmp_path, "left_out==1.5", "limits.txt")
    assert unsatisfied(write(tmp_path, text)) == []


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("gone", ["gone"]),
        ("whole\ngone>1", ["gone>1"]),
        ("whole<2", ["whole<2"]),
        ("extras[b]", ["extras[b]"]),
        ("extras[unknown]", ["extras[unknown]"]),
        ("whole @ https://example.com/whole.whl\nwhole", ["whole @ https://example.com/whole.whl", "whole"]),
        ("git+https://example.com/x.git#egg=x", ["git+https://example.com/x.git#egg=x"]),
        ("./mine-1.0-py3-none-any.whl", ["./mine-1.0-py3-none-any.whl"]),
        ("./folder\n-e ./folder", ["./folder", "-e ./folder"]),
        ("--pre\nwhole\ngone", ["--pre", "gone"]),
        ("-r https://example.com/r.txt", ["-r https://example.com/r.txt"]),
        ("-c https://example.com/c.txt\nwhole", ["-c https://example.com/c.txt", "whole"]),
        ("gone \\\n# a comment ends it\nwhole", ["gone"]),
        ("gone --hash=sha256:00", ["gone --hash=sha256:00"]),
        ("${PRIVATE}/gone.whl", ["https://user:word@example.com/gone.whl"]),
    ],
)
def test_what_pip_must_see(tmp_path: Path, monkeypatch, text: str, lines: list[str]):
    (tmp_path / "folder").mkdir()
    monkeypatch.setenv("PRIVATE", "https://user:word@example.com")
    assert unsatisfied(write(tmp_path, text)) == lines


def test_a_constraint_may_exclude_what_is_installed(tmp_path: Path):
    (tmp_path / "sub").mkdir()
    write(tmp_path, "whole==1.0", "sub/limits.txt")
    write(tmp_path, "whole\nleft_out\n-c limits.txt", "sub/more.txt")
    path = write(tmp_path, "-r sub/more.txt\n-f wheels\n")
    (tmp_path / "wheels").mkdir()
    assert unsatisfied(path) == [
        f"-c {tmp_path}/sub/limits.txt", f"--find-links {tmp_path}/wheels", "whole",
    ]  # fmt: skip


def test_what_is_satisfied_binds_the_rest(tmp_path: Path):
    (tmp_path / "state").mkdir()
    wanted = read(write(tmp_path, "whole>=1\nextras[a]<4 --hash=sha256:00\ngone\n")).write(tmp_path / "state")
    assert wanted is not None
    assert wanted.read_text().splitlines() == ["-c satisfied.txt", "gone"]
    assert (wanted.parent / "satisfied.txt").read_text().splitlines() == ["whole>=1", "extras<4"]
    assert read(write(tmp_path, "whole")).write(tmp_path / "state") is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("-r secret.txt", r"line 1 of .*secret\.txt is no requirement"),
        ("-r /etc/passwd", r"line 1 of /etc/passwd is no requirement"),
        ("-r /dev/zero", "/dev/zero"),
        ("-r gone.txt", r"no file .*gone\.txt"),
        ("-r requirements.txt", "names itself"),
        ("-r \0", "is no text"),
        ("whole\n\nnumpy = 1", r"line 3 of .*requirements\.txt"),
        (b"\xff\xff", "not UTF-8"),
        ("#" * 2_000_000, "no list of requirements"),
    ],
)
def test_what_is_refused_and_never_quoted(tmp_path: Path, text: str | bytes, reason: str):
    write(tmp_path, "root:x:0:0\n", "secret.txt")
    with pytest.raises(UserError, match=reason) as caught:
        unsatisfied(write(tmp_path, text))
    assert "x:0:0" not in str(caught.value)
