from __future__ import annotations

import stat
from pathlib import Path

import pytest

from fastai_local import build_secrets as subject
from fastai_local.process import Result


@pytest.fixture
def pip(monkeypatch: pytest.MonkeyPatch):
    """Sets what `pip config list` prints."""

    def set_output(text: str, code: int = 0) -> None:
        monkeypatch.setattr(subject, "capture", lambda *_, **__: Result(code, text, ""))

    set_output("")
    return set_output


def test_pips_configuration_is_read_and_the_environment_wins(pip) -> None:
    pip("global.cert='/c.pem'\nglobal.index-url='https://a.example/simple'\n:env:.find-links='/x'\nnoise\n")
    values = subject.pip_configuration({"PIP_INDEX_URL": "https://b.example/simple"})
    assert values == {"cert": "/c.pem", "index-url": "https://b.example/simple"}


def test_a_machine_without_pip_has_only_its_environment(pip) -> None:
    pip("", code=127)
    assert subject.pip_configuration({"PIP_CERT": "/c.pem"}) == {"cert": "/c.pem"}


def test_the_first_bundle_of_certificates_that_exists_is_taken(tmp_path: Path) -> None:
    there = tmp_path / "ca.pem"
    there.write_text("pem")
    env = {"PIP_CERT": str(tmp_path / "gone.pem"), "SSL_CERT_FILE": str(there), "REQUESTS_CA_BUNDLE": "/etc/hosts"}
    assert subject.find_certificates(env, {}) == there
    assert subject.find_certificates({}, {"cert": str(there)}) == there
    assert subject.find_certificates({}, {}) is None


def test_a_bundle_too_large_for_a_secret_is_left_out_and_said(tmp_path: Path, capsys) -> None:
    large = tmp_path / "ca.pem"
    large.write_bytes(b"x" * (subject.SECRET_LIMIT + 1))
    assert subject.find_certificates({"PIP_CERT": str(large)}, {}) is None
    assert "PIP_CERT" in capsys.readouterr().err


def test_indexes_that_are_folders_are_left_out() -> None:
    assert subject.index_configuration({"extra-index-url": "file:///a/simple file:///b/simple"}) is None
    assert subject.index_configuration({"index-url": "/a/simple"}) is None
    assert subject.index_configuration({}) is None


def test_the_index_is_a_pip_configuration() -> None:
    text = subject.index_configuration(
        {
            "index-url": "https://user:p%40ss@a.example/simple",
            "extra-index-url": "https://b.example/simple\nhttps://c.example/simple file:///d",
            "trusted-host": "a.example",
        }
    )
    assert text == (
        "[global]\nindex-url = https://user:p%40ss@a.example/simple\n"
        "extra-index-url = https://b.example/simple https://c.example/simple\ntrusted-host = a.example\n"
    )


def sources(options: list[str]) -> dict[str, Path]:
    """The files of `--secret id=…,src=…` options by id."""
    pairs = [option.removeprefix("id=").partition(",src=") for option in options if option != "--secret"]
    return {name: Path(path) for name, _, path in pairs}


def test_the_index_file_is_private_and_removed(pip, tmp_path: Path) -> None:
    with subject.build_secrets(tmp_path, {"PIP_INDEX_URL": "https://user:secret@a.example/simple"}) as options:
        file = sources(options)["index"]
        assert "secret" in file.read_text()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert not file.exists()


def test_the_index_file_is_removed_when_the_build_fails(pip, tmp_path: Path) -> None:
    files = []

    def build() -> None:
        with subject.build_secrets(tmp_path, {"PIP_INDEX_URL": "https://a.example/simple"}) as options:
            files.append(sources(options)["index"])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build()
    assert not files[0].exists()


def test_the_users_own_pip_conf_wins_and_stays(pip, tmp_path: Path) -> None:
    own = tmp_path / "docker" / "pip.conf"
    own.parent.mkdir()
    own.write_text("[global]\n")
    with subject.build_secrets(tmp_path, {"PIP_INDEX_URL": "https://a.example/simple"}) as options:
        assert sources(options) == {"index": own}
    assert own.exists()


def test_nothing_to_pass_is_no_option(pip, tmp_path: Path) -> None:
    with subject.build_secrets(tmp_path, {}) as options:
        assert options == []


def test_proxies_are_passed_unless_they_are_this_machines_own() -> None:
    env = {"http_proxy": "http://proxy.example:3128", "HTTPS_PROXY": "http://127.0.0.1:3128", "no_proxy": "localhost"}
    assert subject.proxy_args(env) == ["--build-arg", "http_proxy", "--build-arg", "no_proxy"]
