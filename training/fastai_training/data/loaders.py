"""fastai's data loaders over our own decoding and resizing, so that training sees what serving will see."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from fastai.vision.all import (
    Categorize,
    DataLoaders,
    Datasets,
    IntToFloatTensor,
    Normalize,
    PILImage,
    TensorImage,
    TfmdDL,
    ToTensor,
    Transform,
    aug_transforms,
    to_detach,
)
from PIL import Image

from fastai_container.picture_limits import MAX_PICTURE_BYTES
from fastai_container.pictures import PictureError, center_square, open_picture
from fastai_container.resources import cpu_count, shared_memory_free_bytes
from fastai_training.class_balance import balanced_order
from fastai_training.data.labels import DataError, Example
from fastai_training.data.late_check import LateCheck, UnreadableError
from fastai_training.data.picture_cache import PictureCache, cache_bytes
from fastai_training.hyperparameters import HyperParameters
from fastai_training.picture_sizes import epoch_sizes
from fastai_training.seeding import seed_everything
from fastai_training.world import Processes

#: torch's loader keeps this many batches ready for each worker.
PREFETCH = 2
#: fastai's tensors form reference cycles: a used batch keeps its shared memory until the garbage collector comes by.
UNCOLLECTED = 8


class OpenPicture(Transform):
    """The picture at a path, decoded as serving decodes it for a square of ``side`` pixels; from ``cache`` if there.

    Raises UnreadableError once ``is_ready``; before, a picture that can't be read is a black one.
    """

    def __init__(self, items: list[Example], side: int, cache: PictureCache, max_bytes: int) -> None:
        super().__init__()
        self.side, self.cache, self.max_bytes = side, cache, max_bytes
        self.is_ready = False
        self.numbers = {item.path: number for number, item in enumerate(items)}

    def encodes(self, path: Path) -> PILImage:
        number = self.numbers[path]
        picture = self.cache.get(number)
        if picture is None:
            try:
                picture = open_picture(path, self.side, max_bytes=self.max_bytes)
            except PictureError as error:
                if not self.is_ready:
                    return PILImage(Image.new("RGB", (self.side, self.side)))
                # Unless it is checked late it was read before training: the file has changed or gone.
                raise UnreadableError(f"the picture {str(path)!r} can't be read any more: {error}") from None
            self.cache.put(number, picture)
        return PILImage(picture)


class LabelOf(Transform):
    """A picture's label by its path."""

    def __init__(self, items: list[Example]) -> None:
        super().__init__()
        self.labels = {item.path: item.label for item in items}

    def encodes(self, path: Path) -> str:
        return self.labels[path]


class SquareView(Transform):
    """A square of ``size`` pixels: the centre, or with ``random_crop`` a random crop, mirrored half of the time.

    The crop covers ``min_scale`` to all of the picture's area at an aspect ratio of 3:4 to 4:3. ``flip``: "none",
    "horizontal" or "both", which also turns it upside down half of the time.
    """

    order = 1

    def __init__(self, size: int, *, random_crop: bool, min_scale: float = 0.35, flip: str = "horizontal") -> None:
        super().__init__()
        self.size, self.random_crop, self.min_scale, self.flip = size, random_crop, min_scale, flip
        # The loader sets one for each picture: the same view whichever process makes it, and whenever.
        self.random = random.Random()  # noqa: S311

    def _random_box(self, width: int, height: int) -> tuple[int, int, int, int]:
        for _ in range(10):
            area = width * height * self.random.uniform(self.min_scale, 1)
            ratio = math.exp(self.random.uniform(math.log(3 / 4), math.log(4 / 3)))
            w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if 0 < w <= width and 0 < h <= height:
                left, top = self.random.randint(0, width - w), self.random.randint(0, height - h)
                return left, top, left + w, top + h
        side = min(width, height)
        left, top = (width - side) // 2, (height - side) // 2
        return left, top, left + side, top + side

    def encodes(self, image: PILImage) -> PILImage:
        if not self.random_crop:
            return PILImage(center_square(image, self.size))
        view = image.resize((self.size, self.size), Image.Resampling.BILINEAR, box=self._random_box(*image.size))
        if self.flip != "none" and self.random.random() < 0.5:
            view = view.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        if self.flip == "both" and self.random.random() < 0.5:
            view = view.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
        return PILImage(view)


def worker_count(parameters: HyperParameters, processes: int = 1) -> tuple[int, str]:
    """How many loader workers each of the host's ``processes`` starts, and why when it is fewer than asked for.

    A batch goes through /dev/shm; a worker that finds it full dies of a bus error, so too little of it means none.
    """
    asked = max(1, min(cpu_count() // processes, 16)) if parameters.workers == "auto" else int(parameters.workers)
    free = shared_memory_free_bytes()
    if asked == 0 or free is None:
        return asked, ""
    batch_bytes = parameters.batch_size * parameters.image_size**2 * 3
    # For each worker those kept ready and the one it is writing.
    fitting = max(0, (free // (batch_bytes * processes) - UNCOLLECTED) // (PREFETCH + 1))
    if fitting >= asked:
        return asked, ""
    return fitting, (
        f"/dev/shm has {free / 2**20:.0f} MiB free, enough for {fitting} of the {asked} loader workers wanted"  # noqa: S108 - a message
        f"{' (pictures are decoded by the training process)' if fitting == 0 else ''}; "
        "docker run --shm-size=2g gives more"
    )


class SeedBatch(Transform):
    """Before the transforms of a whole batch: seed what they draw from by the batch's place."""

    order, split_idx = -100, 0

    def __init__(self) -> None:
        super().__init__()
        self.key: tuple[Any, ...] = ()

    def encodes(self, batch: TensorImage) -> TensorImage:
        seed_everything("augment", *self.key)
        return batch


class OrderedLoader(TfmdDL):
    """A loader whose order and augmentation are functions of ``seed``, ``epoch`` and the picture alone.

    Batch ``k`` of an epoch of training is cut into one piece for each process; what fills no batch is left out of that
    epoch. In validation each process has every ``world``-th picture. Iteration begins with batch ``start``. With
    ``balance``, the labels of all pictures, training draws each class equally often. ``sizes``: the views' side in
    pixels by epoch, where it changes. With ``late``, a picture that can't be read is marked there, and another stands
    in for it.
    """

    def __init__(
        self,
        dataset: Any,
        *,
        training: bool,
        view: SquareView,
        seed: int = 0,
        processes: Processes = Processes(),  # noqa: B008 - frozen
        balance: Sequence[str] = (),
        sizes: Sequence[int] = (),
        late: LateCheck | None = None,
        **options: Any,
    ) -> None:
        self.training, self.view, self.seed, self.processes = training, view, seed, processes
        self.balance, self.sizes, self.late = balance, sizes, late
        self.epoch, self.start = -1, 0
        self.seed_batch = SeedBatch()
        options["after_batch"] = [self.seed_batch, *options["after_batch"]]
        super().__init__(dataset, **options)

    def __len__(self) -> int:
        if self.training:
            return max(1, self.n // (self.bs * self.processes.world))
        return -(-len(range(self.processes.rank, self.n, self.processes.world)) // self.bs)

    def _order(self) -> list[int]:
        """The order of an epoch of training; beyond ``n`` are repetitions, as ``balanced_order`` numbers them."""
        drawn = random.Random(f"{self.seed}:{self.epoch}")  # noqa: S311
        if self.balance:
            return balanced_order(self.balance, drawn)
        order = list(range(self.n))
        drawn.shuffle(order)
        return order

    def get_idxs(self) -> list[int]:
        rank, world = self.processes.rank, self.processes.world
        if not self.training:
            return list(range(self.n))[rank::world][self.start * self.bs :]
        order = self._order()
        whole = self.bs * world
        return [
            index
            for batch in range(self.start, len(self))
            for index in order[batch * whole + rank * self.bs : batch * whole + (rank + 1) * self.bs]
        ]

    def before_iter(self) -> None:
        super().before_iter()
        self.number = self.start

    def do_item(self, index: int | None) -> Any:
        self.view.random = random.Random(f"{self.seed}:{self.epoch}:{index}")  # noqa: S311
        return super().do_item(None if index is None else index % self.n)

    def create_item(self, index: int | None) -> Any:
        return super().create_item(index) if self.late is None else self.late.read(index or 0, super().create_item)

    def __iter__(self) -> Iterator[Any]:
        self.seed_batch.key = (self.seed, self.epoch, self.start, self.processes.rank)
        if self.sizes:
            self.view.size = self.sizes[max(self.epoch, 0)]  # before workers are started, which get a copy
        try:
            for number, batch in enumerate(super().__iter__(), self.start + 1):
                # The next batch's transforms run when it is asked for, after this one was trained on.
                self.seed_batch.key = (self.seed, self.epoch, number, self.processes.rank)
                yield batch
        except UnreadableError as error:
            if self.late is not None:
                raise self.late.refusal() from None
            # A worker's error has its whole traceback as the text, and the exception's name before what it says.
            raise ValueError(
                str(error).splitlines()[-1].removeprefix(f"{UnreadableError.__module__}.UnreadableError: ")
            ) from None

    def to_detach(self, batch: Any, cpu: bool = True, gather: bool = True) -> Any:
        """Never gathered batch by batch, since shards differ in length: DataParallel sums up after validation."""
        return to_detach(batch, cpu=cpu, gather=False)


def training_view(parameters: HyperParameters) -> SquareView:
    """The part of the augmentation that each picture gets by itself."""
    given = {"min_scale": parameters.crop_scale, "flip": parameters.flip}
    options: dict[str, Any] = {name: value for name, value in given.items() if value != "auto"}
    return SquareView(parameters.image_size, random_crop=parameters.augment != "none", **options)


def _batch_augmentation(parameters: HyperParameters) -> list[Any]:
    """The part that a whole batch gets: fastai's, by ``augment`` and what single hyperparameters say instead."""
    names = {"max_rotate": parameters.rotate, "max_zoom": parameters.zoom, "max_lighting": parameters.lighting}
    given: dict[str, Any] = {name: value for name, value in names.items() if value != "auto"}
    if parameters.augment == "full":
        if parameters.flip != "auto":
            given["do_flip"] = False  # SquareView does it, as it was asked to
    elif given:
        given = {"max_rotate": 0.0, "max_zoom": 1.0, "max_lighting": 0.0, "max_warp": 0.0, "do_flip": False} | given
    else:
        return []
    # Without a size they leave a batch's as it is.
    return list(aug_transforms(size=parameters.image_size if parameters.progressive_resizing == 1 else None, **given))


def build_loaders(
    train: list[Example],
    valid: list[Example],
    vocab: list[str],
    parameters: HyperParameters,
    stats: tuple[tuple[float, ...], tuple[float, ...]],
    device: Any,
    workers: int,
    processes: Processes = Processes(),  # noqa: B008 - frozen
    late: LateCheck | None = None,
) -> DataLoaders:
    """Loaders of (float batch (n, 3, size, size) normalized by ``stats``, class index (n,)).

    The third, where ``parameters`` ask for tta, has the validation pictures in views as training has. ``late`` is told
    of pictures of ``train`` that can't be read. Raises DataError when there are too few pictures for so many processes.
    """
    items = train + valid
    size = parameters.image_size
    share = len(train) // processes.world
    if share < 2:
        raise DataError(
            f"{len(train)} pictures are too few to train on in {processes.world} processes; use fewer processes"
        )
    cache = PictureCache(len(items), cache_bytes(parameters.cache_mb, processes.on_host))
    opening = OpenPicture(items, size, cache, late.max_bytes if late else MAX_PICTURE_BYTES)
    datasets = Datasets(
        [item.path for item in items],
        tfms=[[opening], [LabelOf(items), Categorize(vocab=vocab)]],
        splits=[list(range(len(train))), list(range(len(train), len(items)))],
    )
    opening.is_ready = True  # fastai has opened the first picture, to see what it becomes
    normalize: list[Any] = [IntToFloatTensor, Normalize.from_stats(*stats)]
    augment = _batch_augmentation(parameters)

    def loader(training: bool, view: SquareView) -> OrderedLoader:
        return OrderedLoader(
            datasets.subset(0 if training else 1),
            training=training,
            view=view,
            seed=parameters.seed,
            processes=processes,
            sizes=epoch_sizes(parameters) if training and parameters.progressive_resizing < 1 else (),
            balance=[item.label for item in train] if training and parameters.sampling == "balanced" else (),
            late=late if training else None,
            bs=min(parameters.batch_size, share) if training else parameters.batch_size,
            after_item=[view, ToTensor],
            after_batch=[normalize[0], *(augment if training else []), normalize[1]],
            device=device,
            num_workers=workers,
        )

    views = [loader(False, training_view(parameters))] if parameters.tta else []
    centre = SquareView(size, random_crop=False)
    return DataLoaders(loader(True, training_view(parameters)), loader(False, centre), *views, device=device)
