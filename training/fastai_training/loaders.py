"""fastai's data loaders over our own decoding and resizing, so that training sees what serving will see."""

from __future__ import annotations

import math
import random
from functools import partial
from pathlib import Path
from typing import Any

from fastai.vision.all import (
    Categorize,
    DataLoaders,
    Datasets,
    IntToFloatTensor,
    Normalize,
    PILImage,
    RandTransform,
    ToTensor,
    Transform,
    aug_transforms,
)
from PIL import Image

from fastai_container.pictures import center_square, open_picture
from fastai_container.resources import cpu_count, shared_memory_free_bytes
from fastai_training.hyperparameters import HyperParameters
from fastai_training.labels import Example

#: torch's loader keeps this many batches ready for each worker.
PREFETCH = 2
#: fastai's tensors form reference cycles: a used batch keeps its shared memory until the garbage collector comes by.
UNCOLLECTED = 8


def open_for_training(path: Path, side: int) -> PILImage:
    """The picture at ``path``, decoded as serving decodes it for a square of ``side`` pixels."""
    return PILImage(open_picture(Path(path), side))


class LabelOf(Transform):
    """A picture's label by its path."""

    def __init__(self, items: list[Example]) -> None:
        super().__init__()
        self.labels = {item.path: item.label for item in items}

    def encodes(self, path: Path) -> str:
        return self.labels[path]


class SquareView(RandTransform):
    """A square of ``size`` pixels: the centre in validation; in training a random crop, mirrored half of the time.

    The crop covers ``min_scale`` to all of the picture's area at an aspect ratio of 3:4 to 4:3.
    """

    order, split_idx = 1, None

    def __init__(self, size: int, *, random_crop: bool, min_scale: float = 0.35) -> None:
        super().__init__()
        self.size, self.random_crop, self.min_scale = size, random_crop, min_scale

    def before_call(self, b: Any, split_idx: int | None) -> None:
        self.training = self.random_crop and not split_idx

    def _random_box(self, width: int, height: int) -> tuple[int, int, int, int]:
        for _ in range(10):
            area = width * height * random.uniform(self.min_scale, 1)  # noqa: S311
            ratio = math.exp(random.uniform(math.log(3 / 4), math.log(4 / 3)))  # noqa: S311
            w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if 0 < w <= width and 0 < h <= height:
                left, top = random.randint(0, width - w), random.randint(0, height - h)  # noqa: S311
                return left, top, left + w, top + h
        side = min(width, height)
        left, top = (width - side) // 2, (height - side) // 2
        return left, top, left + side, top + side

    def encodes(self, image: PILImage) -> PILImage:
        if not self.training:
            return PILImage(center_square(image, self.size))
        view = image.resize((self.size, self.size), Image.Resampling.BILINEAR, box=self._random_box(*image.size))
        if random.random() < 0.5:  # noqa: S311
            view = view.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        return PILImage(view)


def worker_count(parameters: HyperParameters) -> tuple[int, str]:
    """How many loader processes to start, and why when it is fewer than asked for.

    A batch goes through /dev/shm; a worker that finds it full dies of a bus error, so too little of it means none.
    """
    asked = max(1, min(cpu_count(), 16)) if parameters.workers == "auto" else int(parameters.workers)
    free = shared_memory_free_bytes()
    if asked == 0 or free is None:
        return asked, ""
    batch_bytes = parameters.batch_size * parameters.image_size**2 * 3
    # For each worker those kept ready and the one it is writing.
    fitting = max(0, (free // batch_bytes - UNCOLLECTED) // (PREFETCH + 1))
    if fitting >= asked:
        return asked, ""
    return fitting, (
        f"/dev/shm has {free / 2**20:.0f} MiB free, enough for {fitting} of the {asked} loader workers wanted"  # noqa: S108 - a message
        f"{' (pictures are decoded by the training process)' if fitting == 0 else ''}; "
        "docker run --shm-size=2g gives more"
    )


def build_loaders(
    train: list[Example],
    valid: list[Example],
    vocab: list[str],
    parameters: HyperParameters,
    stats: tuple[tuple[float, ...], tuple[float, ...]],
    device: Any,
    workers: int,
) -> DataLoaders:
    """Loaders of (float batch (n, 3, size, size) normalized by ``stats``, class index (n,))."""
    items = train + valid
    size = parameters.image_size
    datasets = Datasets(
        [item.path for item in items],
        tfms=[[partial(open_for_training, side=size)], [LabelOf(items), Categorize(vocab=vocab)]],
        splits=[list(range(len(train))), list(range(len(train), len(items)))],
    )
    after_batch = [IntToFloatTensor, Normalize.from_stats(*stats)]
    if parameters.augment == "full":
        after_batch[1:1] = aug_transforms(size=size)
    return datasets.dataloaders(
        bs=min(parameters.batch_size, len(train)),
        val_bs=parameters.batch_size,
        after_item=[SquareView(size, random_crop=parameters.augment != "none"), ToTensor],
        after_batch=after_batch,
        device=device,
        num_workers=workers,
        # The last batch of an epoch may be a single picture, which batch norm can't train on.
        drop_last=len(train) > parameters.batch_size,
        seed=parameters.seed,
    )
