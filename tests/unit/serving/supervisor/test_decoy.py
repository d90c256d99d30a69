from __future__ import annotations

from pathlib import Path

from fastai_serving.supervisor import decoy
from fastai_serving.supervisor.decoy import Decoy


def test_it_is_there_to_be_ended_and_starts_again():
    made = Decoy()
    assert made.pid is None
    made.start()
    first = made.pid
    try:
        assert first is not None
        assert Path(f"/proc/{first}/oom_score_adj").read_text().strip() == "450"
        made.start()
        assert made.pid not in (None, first)
        assert not Path(f"/proc/{first}").exists()
        second = made.pid
    finally:
        made.stop()
    assert made.pid is None
    assert not Path(f"/proc/{second}").exists()
    made.stop()


def test_a_container_that_forbids_it_does_without(monkeypatch):
    def refuse(*_, **__):
        raise OSError("no")

    monkeypatch.setattr(decoy.subprocess, "Popen", refuse)
    made = Decoy()
    made.start()
    assert made.pid is None
