"""The network and the pictures that every server of the benchmarks gets: ResNet-34, 224 px, the 37 pets.

Its ImageNet weights are a download, and training it from nothing on a CPU takes longer than the benchmark. Neither
changes how fast it runs. So the body is torchvision's random one of a fixed seed, with its batch norms' statistics
measured on the pictures, and fastai's head is trained on what that body makes of them. It knows the pictures it has
seen by heart and nothing else, which is what it takes to tell a right answer from a wrong one.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from pathlib import Path
from typing import Any

# Before torch is imported: threads that spin while they wait take the cores from whatever else runs there.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch
from PIL import Image
from torch import nn

from benchmarks.common import MODEL, pets_folder
from benchmarks.load import SURE
from fastai_container.model_folder import ModelManifest
from fastai_container.pictures import PictureError, center_square, model_input, open_picture
from fastai_training.data.labels import Example
from fastai_training.exporting.export import versions, write_model_folder
from fastai_training.fitting.models import build_classifier

SIZE, CLASSES, PER_CLASS, SEED = 224, 37, 10, 0
PRECISIONS = ("bf16", "int8")
#: Pixels of the pictures that are sent, and how many there are of each size.
PICTURES = {"500x375": 32, "1200x900": 32, "4000x3000": 8}
#: A camera's noise, in values of 0 to 255: an enlarged picture without it is a smaller file than a photograph.
NOISE = 3.0


def _examples() -> list[Example]:
    """The first ten readable pictures of each breed."""
    taken: Counter[str] = Counter()
    found = []
    for path in sorted(pets_folder().glob("*.jpg")):
        label = re.sub(r"_\d+$", "", path.stem)
        if taken[label] == PER_CLASS:
            continue
        try:
            open_picture(path, SIZE)
        except PictureError:
            continue
        taken[label] += 1
        found.append(Example(path, label))
    return found


def _batches(pixels: torch.Tensor, stats: Any) -> Any:
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in stats)
    for start in range(0, len(pixels), 32):
        yield (pixels[start : start + 32].permute(0, 3, 1, 2).float() / 255 - mean) / std


def _network(pixels: torch.Tensor, labels: torch.Tensor) -> tuple[nn.Module, Any]:
    torch.manual_seed(SEED)
    classifier = build_classifier("resnet34", CLASSES, pretrained=False, weights_channel=None)
    network = classifier.model
    body, head = network[0], network[1]
    for module in body.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # the mean over all batches
    with torch.no_grad():
        body.train()
        for batch in _batches(pixels, classifier.stats):
            body(batch)
        body.eval()
        pooled = torch.cat([head[1](head[0](body(batch))) for batch in _batches(pixels, classifier.stats)])
    rest = nn.Sequential(*list(head.children())[2:]).train()
    spread = pooled.std(0, keepdim=True)
    optimizer = torch.optim.AdamW(rest.parameters(), lr=3e-3, weight_decay=1e-2)
    for _ in range(300):
        optimizer.zero_grad()
        noisy = pooled + 0.3 * spread * torch.randn_like(pooled)
        nn.functional.cross_entropy(rest(noisy), labels).backward()
        optimizer.step()
    return network.eval(), classifier.stats


def _write_pictures(items: list[Example], target: Path) -> None:
    """The pictures to send: real ones cut to 4:3 and brought to each size."""
    rng = np.random.default_rng(SEED)
    for name, count in PICTURES.items():
        width, height = map(int, name.split("x"))
        (target / name).mkdir(parents=True, exist_ok=True)
        for item in items[:count]:
            image = open_picture(item.path)
            scale = min(image.width / 4, image.height / 3)
            left, top = (image.width - 4 * scale) / 2, (image.height - 3 * scale) / 2
            box = (left, top, left + 4 * scale, top + 3 * scale)
            pixels = np.asarray(image.resize((width, height), Image.Resampling.LANCZOS, box=box), dtype=np.float32)
            noisy = pixels + rng.normal(0, NOISE, pixels.shape[:2])[..., None]
            Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(target / name / item.path.name, quality=88)


def _expected(network: nn.Module, stats: Any, target: Path) -> dict[str, dict[str, Any]]:
    """By torch in fp32, each picture decoded in full: class and confidence, by the file's place below ``target``."""
    found = {}
    for path in sorted(target.rglob("*.jpg")):
        pixels = np.array(center_square(open_picture(path), SIZE))[None]
        with torch.no_grad():
            row = network(next(_batches(torch.from_numpy(pixels), stats))).softmax(1)[0]
        found[f"{path.parent.name}/{path.name}"] = {
            "index": int(row.argmax()),
            "confidence": round(float(row.max()), 4),
        }
    return found


def ensure() -> dict[str, Any]:
    """Makes build/bench-model unless it is there: a model folder for each precision, pictures, right answers."""
    stamp = MODEL / "facts.json"
    if stamp.is_file():
        return dict(json.loads(stamp.read_text(encoding="utf-8")))
    items = _examples()
    vocab = sorted({item.label for item in items})
    pixels = torch.from_numpy(np.stack([model_input(item.path, SIZE) for item in items]))
    labels = torch.tensor([vocab.index(item.label) for item in items])
    network, stats = _network(pixels, labels)
    with torch.no_grad():
        rows = torch.cat([network(batch) for batch in _batches(pixels, stats)]).softmax(1)
    right = (rows.argmax(1) == labels) & (rows.max(1).values > SURE)
    sure = [item for item, good in zip(items, right.tolist(), strict=True) if good]
    details = ModelManifest("resnet34", vocab, SIZE, list(stats[0]), list(stats[1]), versions=versions())
    programs = {}
    for precision in PRECISIONS:
        written = write_model_folder(MODEL / precision, network, details, items, items, precision)
        programs[precision] = written.program
    # One of each breed first, then the next.
    sure.sort(key=lambda item: [other.path for other in items if other.label == item.label].index(item.path))
    _write_pictures(sure, MODEL / "pictures")
    expected = _expected(network, stats, MODEL / "pictures")
    facts = {
        "vocab": vocab,
        "programs": programs,
        "pictures_seen": len(items),
        "sure": len(sure),
        "expected": {name: {"class": vocab[row["index"]], **row} for name, row in expected.items()},
    }
    stamp.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    return facts


if __name__ == "__main__":
    made = ensure()
    print({name: value for name, value in made.items() if name != "expected"})
