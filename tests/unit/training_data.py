"""Small pictures for the tests of training: each class has its own colour, so that a network can learn them."""

from __future__ import annotations

import random
from pathlib import Path

from PIL import Image

from fastai_container.model_folder import WEIGHTS, ModelManifest, writing

#: A network of timm that trains in a moment.
ARCH = "mobilenetv3_small_050"
COLOURS = {"red": (200, 40, 40), "green": (40, 200, 40), "blue": (40, 40, 200)}


def write_picture(path: Path, colour: tuple[int, int, int], size: tuple[int, int] = (40, 32), seed: int = 0) -> Path:
    """A noisy picture of one colour."""
    noise = random.Random(f"{path.name!r}:{seed}")
    image = Image.new("RGB", (8, 8))
    image.putdata([tuple(min(255, max(0, value + noise.randint(-60, 60))) for value in colour) for _ in range(64)])
    path.parent.mkdir(parents=True, exist_ok=True)
    image.resize(size, Image.Resampling.BICUBIC).save(path, quality=92)
    return path


def write_pictures(folder: Path, each: int, colours: tuple[str, ...] = ("red", "green", "blue")) -> list[Path]:
    """``each`` pictures of every colour, named as the pets are: red_1.jpg."""
    numbers = range(1, each + 1)
    return [write_picture(folder / f"{name}_{n}.jpg", COLOURS[name]) for name in colours for n in numbers]


def write_model(folder: Path, vocab: list[str], arch: str = ARCH, size: int = 32) -> ModelManifest:
    """A model folder as training leaves it, but for the compiled models: random weights for ``vocab``."""
    import torch
    from safetensors.torch import save_file

    from fastai_training.fitting.models import build_classifier

    torch.manual_seed(3)
    network = build_classifier(arch, len(vocab), pretrained=False, weights_channel=None, image_size=size).model
    manifest = ModelManifest(arch, vocab, size, [0.4, 0.5, 0.6], [0.2, 0.3, 0.4])
    with writing(folder, manifest) as partial:
        save_file(network.state_dict(), partial / WEIGHTS, metadata={"format": "pt"})
    return manifest


def write_weights(folder: Path) -> None:
    """A weights channel with random numbers for ARCH."""
    import timm
    import torch

    folder.mkdir(parents=True)
    torch.manual_seed(1)
    torch.save(timm.create_model(ARCH).state_dict(), folder / f"{ARCH}.pth")


def write_empty(root: Path, *patterns: str, each: int = 4) -> None:
    """Files of no content, for what goes by names alone: ``each`` for a pattern with braces (cat/{}.jpg)."""
    for pattern in patterns:
        for name in sorted({pattern.format(number) for number in range(each)}):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).touch()
