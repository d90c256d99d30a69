from __future__ import annotations

from pathlib import Path

import pytest

from fastai_training.job import torch_hub_cache


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    sources = tmp_path / "site" / "torchvision" / "models"
    sources.mkdir(parents=True)
    (sources / "__init__.py").touch()
    (sources.parent / "__init__.py").touch()
    (sources / "resnet.py").write_text(
        'url="https://download.pytorch.org/models/resnet34-b627a593.pth"\n'
        'url="https://download.pytorch.org/models/resnet50-0676ba61.pth"\n'
        'url="https://download.pytorch.org/models/resnet50-11ad3fa6.pth"\n'
    )
    spec = type("Spec", (), {"submodule_search_locations": [str(sources.parent)]})
    monkeypatch.setattr(torch_hub_cache.importlib.util, "find_spec", lambda _name: spec)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "hub" / "checkpoints"


def lay(folder: Path, *names: str) -> Path:
    folder.mkdir()
    for name in names:
        (folder / name).write_text(name)
    return folder


def test_weights_lie_under_the_names_that_torchvision_asks_for(tmp_path: Path, hub: Path):
    channel = lay(tmp_path / "weights", "resnet50.pth", "mine.pt", "notes.txt", "resnet18.safetensors")
    baked = lay(tmp_path / "baked", "resnet34-b627a593.pth")
    said: list[str] = []
    torch_hub_cache.fill(channel, said.append, baked=baked)
    held = {path.name: path.read_text() for path in hub.iterdir()}
    assert held == {
        "resnet50.pth": "resnet50.pth",
        "resnet50-0676ba61.pth": "resnet50.pth",
        "resnet50-11ad3fa6.pth": "resnet50.pth",
        "mine.pt": "mine.pt",
        "resnet34-b627a593.pth": "resnet34-b627a593.pth",
    }
    assert len(said) == 1
    assert "resnet50-0676ba61.pth" in said[0]


def test_what_is_there_stays_and_the_channel_goes_before_the_image(tmp_path: Path, hub: Path):
    hub.mkdir(parents=True)
    (hub / "resnet34-b627a593.pth").write_text("downloaded")
    channel, baked = lay(tmp_path / "weights", "resnet50.pth"), lay(tmp_path / "baked", "resnet50.pth", "resnet34.pth")
    torch_hub_cache.fill(channel, lambda _text: None, baked=baked)
    assert (hub / "resnet34-b627a593.pth").read_text() == "downloaded"
    assert (hub / "resnet50.pth").resolve() == channel / "resnet50.pth"


def test_without_weights_nothing_is_made(tmp_path: Path, hub: Path):
    torch_hub_cache.fill(tmp_path / "none", pytest.fail, baked=lay(tmp_path / "baked", "README"))
    assert not hub.exists()


@pytest.mark.parametrize(
    ("environment", "folder"),
    [
        ({"TORCH_HOME": "/t", "XDG_CACHE_HOME": "/x", "HOME": "/h"}, "/t/hub/checkpoints"),
        ({"XDG_CACHE_HOME": "/x", "HOME": "/h"}, "/x/torch/hub/checkpoints"),
        ({"HOME": "/h"}, "/h/.cache/torch/hub/checkpoints"),
    ],
)
def test_where_torch_hub_looks(environment: dict[str, str], folder: str):
    assert torch_hub_cache.hub_folder(environment) == Path(folder)
