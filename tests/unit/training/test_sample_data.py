from __future__ import annotations

import runpy
import socket
import sys
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from fastai_training import sample_data as subject


def unreachable(*_: object, **__: object) -> socket.socket:
    raise OSError("no route to host")


def test_the_digits_are_pictures_named_by_their_class(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    folder = subject.write_digits(tmp_path)
    names = sorted(path.name for path in folder.iterdir())
    assert len(names) == 1797
    assert set(Counter(name.split("_")[1] for name in names)) == set("0123456789")
    with Image.open(folder / names[0]) as picture:
        assert (picture.format, picture.mode, picture.size) == ("JPEG", "RGB", (64, 64))
        assert picture.convert("L").getextrema()[1] > 200, "the digits have 17 shades, from 0 to 16"


def test_without_a_network_the_digits_are_taken_and_it_is_said(tmp_path: Path, monkeypatch, capsys) -> None:
    pytest.importorskip("fastai")
    monkeypatch.setattr(subject.socket, "create_connection", unreachable)
    monkeypatch.setattr(subject, "write_digits", lambda folder: folder / "digits")
    found = subject.prepare(tmp_path / "new")
    assert (found["name"], found["data"]) == ("digits", str(tmp_path / "new" / "digits"))
    assert found["hyperparameters"]["image_size"] == "64"
    assert "can't be reached (no route to host)" in capsys.readouterr().out
    assert (tmp_path / "new").is_dir()


def test_with_a_network_the_pets_are_taken(tmp_path: Path, monkeypatch, capsys) -> None:
    external = pytest.importorskip("fastai.data.external")
    asked = []

    class Connection:
        def close(self) -> None:
            pass

    monkeypatch.setattr(subject.socket, "create_connection", lambda place, **_: asked.append(place) or Connection())
    monkeypatch.setattr(external, "untar_data", lambda url, base: Path(base) / "oxford-iiit-pet")
    found = subject.prepare(tmp_path)
    assert (found["name"], found["data"]) == ("pets", str(tmp_path / "oxford-iiit-pet" / "images"))
    assert len(asked) == 1
    assert asked[0][1] == 443
    assert external.URLs.PETS.startswith(f"https://{asked[0][0]}/")
    assert capsys.readouterr().out == ""


def test_the_hyperparameters_are_those_of_the_trainer(tmp_path: Path, monkeypatch) -> None:
    from fastai_training.hyperparameters import parse

    monkeypatch.setattr(subject, "write_digits", lambda folder: folder)
    for download in (unreachable, lambda folder: folder):
        monkeypatch.setattr(subject, "download_pets", download)
        given = subject.prepare(tmp_path)["hyperparameters"]
        assert parse(given).arch == given["arch"]


def test_it_says_how_it_is_called(monkeypatch) -> None:
    monkeypatch.setattr(sys, "argv", ["sample_data"])
    monkeypatch.delitem(sys.modules, "fastai_training.sample_data")
    with pytest.raises(SystemExit, match=r"^usage: python -m fastai_training\.sample_data FOLDER$"):
        runpy.run_module("fastai_training.sample_data", run_name="__main__")
