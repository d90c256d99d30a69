from __future__ import annotations

from pathlib import Path

from fastai_local import apt

DEBIAN = """\
# the comment names http://elsewhere.example/debian
Types: deb deb-src
# http://snapshot.example/debian/20250520
URIs: http://mirror.example/debian/
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://security.example/debian-security
Suites: bookworm-security
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
"""


def test_paragraphs() -> None:
    release, security = apt.parse_deb822(DEBIAN)
    assert release.uri == "http://mirror.example/debian"
    assert release.suites == ("bookworm", "bookworm-updates")
    assert release.components == ("main", "contrib")
    assert security.signed_by == apt.DEBIAN_KEYRING


def test_paragraphs_that_do_not_count() -> None:
    text = "Types: deb\nEnabled: no\nURIs: http://a.example\nSuites: sid\nComponents: main\n"
    assert apt.parse_deb822(text) == []
    assert apt.parse_deb822(text.replace("Types: deb", "Types: deb-src").replace("no", "yes")) == []


def test_a_paragraph_with_several_uris_and_a_key_of_its_own() -> None:
    text = (
        "Types: deb\nURIs: http://a.example http://b.example\nSuites: sid\nComponents:\n main\n"
        "Signed-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc\n"
    )
    first, second = apt.parse_deb822(text)
    assert (first.uri, second.uri) == ("http://a.example", "http://b.example")
    assert first.components == ("main",)
    assert first.signed_by is None


def test_lines() -> None:
    text = (
        "# deb http://no.example/debian sid main\n"
        "deb-src http://no.example/debian sid main\n"
        "deb [arch=amd64 signed-by=/k.gpg] http://a.example/debian/ bookworm main contrib # why\n"
        "deb http://b.example/debian-security bookworm-security main\n"
        "deb http://c.example ./\n"
    )
    first, second, flat = apt.parse_one_line(text)
    assert first == apt.Source("http://a.example/debian", ("bookworm",), ("main", "contrib"), "/k.gpg")
    assert second.suites == ("bookworm-security",)
    assert flat.components == ()


def test_debian_is_told_from_repositories_for_debian() -> None:
    others = [
        apt.Source("https://docker.example/linux/debian", ("bookworm",), ("stable",)),
        apt.Source("https://tool.example", ("bookworm",), ("main",)),
        apt.Source("https://cloud.example/apt", ("cloud-sdk-bookworm",), ("main",)),
        apt.Source("cdrom:[Debian]/", ("bookworm",), ("main",)),
    ]
    assert apt.debian_mirror(others) is None
    sources = [*others, *apt.parse_deb822(DEBIAN)]
    mirror, security = apt.debian_mirror(sources), apt.security_mirror(sources)
    assert mirror is not None
    assert mirror.uri == "http://mirror.example/debian"
    assert security is not None
    assert security.uri == "http://security.example/debian-security"


def test_a_mirror_in_lines_without_keys_is_found_by_its_updates() -> None:
    lines = "deb http://in.example/mirror bookworm main\ndeb http://in.example/mirror bookworm-updates main\n"
    found = apt.debian_mirror(apt.parse_one_line("deb http://x.example bookworm main\n" + lines))
    assert found is not None
    assert found.uri == "http://in.example/mirror"


def test_ubuntu_has_no_debian_mirror() -> None:
    assert apt.debian_mirror(apt.parse_one_line("deb http://u.example/ubuntu noble main universe\n")) is None


def test_the_files_of_a_machine_are_read(tmp_path: Path) -> None:
    mirrors = tmp_path / "mirrors.list"
    mirrors.write_text("# nearest first\nhttp://near.example/debian\tpriority:1\nhttp://far.example/debian\n")
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list").write_text("deb http://a.example/debian bookworm main\n")
    cloud = DEBIAN.replace("http://mirror.example/debian/", f"mirror+file://{mirrors}")
    (tmp_path / "sources.list.d" / "debian.sources").write_text(cloud)
    (tmp_path / "sources.list.d" / "old.list.save").write_text("deb http://no.example/debian sid main\n")
    assert [source.uri for source in apt.read_sources(tmp_path)] == [
        "http://a.example/debian",
        "http://near.example/debian",
        "http://security.example/debian-security",
    ]
    assert apt.read_sources(tmp_path / "nowhere") == []


def test_the_sources_written_for_an_image_are_read_back() -> None:
    text = apt.debian_sources("http://m.example/debian", "http://s.example/debian-security", "bookworm")
    release, security = apt.parse_deb822(text)
    assert (release.uri, release.suites) == ("http://m.example/debian", ("bookworm", "bookworm-updates"))
    assert (security.uri, security.suites) == ("http://s.example/debian-security", ("bookworm-security",))
    assert apt.debian_mirror([release, security]) == release
