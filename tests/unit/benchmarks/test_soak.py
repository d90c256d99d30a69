from __future__ import annotations

import pytest

from benchmarks import load, soak


def test_the_soak_tells_right_wrong_and_failed_apart(port: int) -> None:
    found, client = soak.Honest(), load.Client(port)
    for body in (b"x", b"x", b"x", b"x", b""):
        soak._ask(client, load.Picture("p", body, "a"), found)
    client.close()
    assert len(found.latencies) == 4
    assert found.wrong == ["p: b instead of a"]  # every fourth
    assert found.failed == {"500": 1}
    unreachable = load.Client(1)
    soak._ask(unreachable, load.Picture("p", b"x", "a"), found)
    assert found.failed == {"500": 1, "ConnectionRefusedError": 1}


@pytest.mark.parametrize(("variables", "why"), [({}, "name the model folder"), ({"MINUTES": "an hour"}, "MINUTES")])
def test_the_soak_says_what_it_lacks(variables, why, tmp_path, monkeypatch, capsys) -> None:
    for name in ("MODEL", "MINUTES"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv("MODEL", str(tmp_path))
        monkeypatch.setenv(name, value)
    assert soak.main() == 2
    assert why in capsys.readouterr().err
