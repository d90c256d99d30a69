"""A script's learner that a model folder can't hold is refused, before anything is written."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from fastai.vision.all import (  # noqa: E402
    BCEWithLogitsLossFlat,
    CategoryBlock,
    CrossEntropyLossFlat,
    DataBlock,
    FocalLossFlat,
    ImageBlock,
    ImageDataLoaders,
    IndexSplitter,
    LabelSmoothingCrossEntropyFlat,
    Learner,
    MaskBlock,
    MSELossFlat,
    MultiCategoryBlock,
    Normalize,
    PointBlock,
    RandomResizedCrop,
    RegressionBlock,
    Resize,
    ResizeMethod,
    aug_transforms,
)
from PIL import Image  # noqa: E402

from fastai_container.errors import ExportError  # noqa: E402
from fastai_container.model_folder import ModelManifest, load_verified  # noqa: E402
from fastai_training.data.labels import Example  # noqa: E402
from fastai_training.exporting.export import write_model_folder  # noqa: E402
from fastai_training.exporting.servable import check_learner  # noqa: E402
from fastai_training.fitting.models import IMAGENET_STATS  # noqa: E402

SIZE = 32
COLOURS = {"red": (220, 30, 30), "blue": (30, 30, 220)}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Oblong pictures, dark on one side: what squeezes or pads them sees something else."""
    folder = tmp_path_factory.mktemp("pictures")
    paths = []
    for name, colour in COLOURS.items():
        for number in range(6):
            pixels = np.zeros((40, 80, 3), np.uint8)
            pixels[:, 30 + number :] = colour
            path = folder / f"{name}_{number}.png"
            Image.fromarray(pixels).save(path)
            paths.append(path)
    return paths


class Network(torch.nn.Module):
    """Gives numbers of the shape ``shape`` for each picture."""

    def __init__(self, *shape):
        super().__init__()
        self.shape = shape
        self.linear = torch.nn.Linear(3, int(np.prod(shape)))

    def forward(self, batch):
        return self.linear(batch.mean((2, 3))).view(-1, *self.shape)


def colour(path):
    return path.stem.partition("_")[0]


def make_learner(pictures, target, get_y, outputs, loss, item=None, batch=None):
    block = DataBlock(
        blocks=(ImageBlock, target),
        get_items=lambda _source: pictures,
        get_y=get_y,
        splitter=IndexSplitter([1, 2, 7, 8]),
        item_tfms=item or Resize(SIZE),
        batch_tfms=[Normalize.from_stats(*IMAGENET_STATS)] if batch is None else batch,
    )
    loaders = block.dataloaders(None, bs=4, num_workers=0, device=torch.device("cpu"))
    return Learner(loaders, Network(*outputs), loss_func=loss)


def classifier(pictures, **options):
    return make_learner(pictures, CategoryBlock, colour, (2,), CrossEntropyLossFlat(), **options)


def details(vocab=("blue", "red"), size=SIZE, **options):
    return ModelManifest("mine", list(vocab), size, *map(list, IMAGENET_STATS), **options)


def export(folder, network, pictures, made=None, label=colour):
    items = [Example(path, label(path)) for path in pictures]
    return write_model_folder(folder, network, made or details(), items[::2], items[1::2], "fp32")


def refused(tmp_path, learner, pictures, words, **options):
    with pytest.raises(ExportError) as raised:
        export(tmp_path / "model", learner, pictures, **options)
    for word in words:
        assert word in str(raised.value)
    assert not (tmp_path / "model").exists()


TASKS = {
    "several labels": (MultiCategoryBlock, lambda path: [colour(path)], (2,), BCEWithLogitsLossFlat()),
    "encoded": (
        MultiCategoryBlock(encoded=True, vocab=["blue", "red"]),
        lambda path: [colour(path) == "blue", colour(path) == "red"],
        (2,),
        BCEWithLogitsLossFlat(),
    ),
    "numbers": (RegressionBlock(n_out=2), lambda path: [1.0, float(path.stem[-1])], (2,), MSELossFlat()),
    "points": (PointBlock, lambda _path: torch.tensor([[3.0, 4.0]]), (2,), MSELossFlat()),
    "masks": (MaskBlock(codes=["no", "yes"]), lambda path: path, (2, SIZE, SIZE), CrossEntropyLossFlat(axis=1)),
}


@pytest.mark.parametrize("given", ["learner", "network"])
@pytest.mark.parametrize("task", TASKS)
def test_other_tasks_are_refused_by_name(tmp_path, pictures, task, given):
    learner = make_learner(pictures, *TASKS[task])
    word = {"encoded": "several labels"}.get(task, task)
    with pytest.raises(ExportError, match=f"{word}.*one class"):
        check_learner(learner)  # before training
    # a script that passes the network alone, with labels that look as a classifier's do
    refused(tmp_path, learner if given == "learner" else learner.model, pictures, [word])


@pytest.mark.parametrize("loss", [BCEWithLogitsLossFlat(), torch.nn.BCEWithLogitsLoss(), MSELossFlat()])
def test_a_loss_of_another_task_is_refused(pictures, loss):
    learner = classifier(pictures)
    learner.loss_func = loss
    with pytest.raises(ExportError, match=r"loss is .*one class"):
        check_learner(learner)


@pytest.mark.parametrize(
    "loss",
    [
        CrossEntropyLossFlat(weight=torch.tensor([1.0, 2.0])),
        LabelSmoothingCrossEntropyFlat(),
        FocalLossFlat(),
        torch.nn.CrossEntropyLoss(),
        torch.nn.functional.cross_entropy,
    ],
)
def test_losses_of_softmax_are_taken(pictures, loss):
    learner = classifier(pictures)
    learner.loss_func = loss
    check_learner(learner)


@pytest.mark.parametrize(
    ("item", "words"),
    [
        (Resize(SIZE, method=ResizeMethod.Squish), ["squish", "Resize(SIZE)"]),
        (Resize(SIZE, method=ResizeMethod.Pad, pad_mode="zeros"), ["pad", "Resize(SIZE)"]),
        (Resize((SIZE, 2 * SIZE)), ["no square"]),
        (Resize(SIZE, resamples=(Image.Resampling.NEAREST, Image.Resampling.NEAREST)), ["bilinear"]),
        (RandomResizedCrop(SIZE), ["RandomResizedCrop", "Resize(SIZE)"]),
    ],
)
def test_another_resize_is_refused_before_training(tmp_path, pictures, item, words):
    learner = classifier(pictures, item=item)
    with pytest.raises(ExportError, match="this learner"):
        check_learner(learner)
    refused(tmp_path, learner, pictures, words)


def test_pictures_that_are_not_normalized_are_refused(tmp_path, pictures):
    refused(tmp_path, classifier(pictures, batch=[]), pictures, ["sees pictures otherwise", "Normalize.from_stats"])


def test_another_size_than_the_one_written_is_refused(tmp_path, pictures):
    refused(tmp_path, classifier(pictures), pictures, ["image_size says 64"], made=details(size=64))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"item": Resize(2 * SIZE), "batch": [*aug_transforms(size=SIZE), Normalize.from_stats(*IMAGENET_STATS)]},
    ],
)
def test_a_classifier_is_written(tmp_path, pictures, options):
    export(tmp_path / "model", classifier(pictures, **options), pictures)
    assert load_verified(tmp_path / "model").vocab == ["blue", "red"]


def test_a_vocabulary_of_other_things_is_written_as_text(tmp_path, pictures):
    loaders = ImageDataLoaders.from_lists(
        pictures[0].parent,
        pictures,
        [colour(path) == "red" for path in pictures],
        item_tfms=Resize(SIZE),
        batch_tfms=Normalize.from_stats(*IMAGENET_STATS),
        num_workers=0,
        bs=4,
        device=torch.device("cpu"),
    )
    learner = Learner(loaders, Network(2), loss_func=CrossEntropyLossFlat())
    vocab = list(loaders.vocab)
    assert vocab == [False, True]
    made = export(tmp_path / "model", learner, pictures, details(vocab), label=lambda path: colour(path) == "red")
    assert load_verified(tmp_path / "model").vocab == made.vocab == ["False", "True"]
    assert made.program["scores"]["fp32"]["error_rate"] <= 1


@pytest.mark.parametrize(
    ("vocab", "words"),
    [
        (["red", "blue", "green"], ["2 numbers", "3 classes"]),
        (["red"], ["1 classes"]),
        ([1, "1"], ["1 twice"]),
        ([["red"], ["blue"]], ["no single name"]),
        (["yes", "no"], ["blue", "no class of the vocabulary"]),
    ],
)
def test_a_vocabulary_that_cannot_be(tmp_path, pictures, vocab, words):
    refused(tmp_path, classifier(pictures), pictures[::-1], words, made=details(vocab))


@pytest.mark.parametrize(
    ("shape", "words"), [((2, SIZE, SIZE), ["(2, 32, 32) numbers"]), ((5,), ["5 numbers", "2 classes"])]
)
def test_outputs_of_plain_torch_are_looked_at(tmp_path, pictures, shape, words):
    refused(tmp_path, Network(*shape), pictures, words)


@pytest.mark.parametrize(
    "wrong", [{"resize": "squish"}, {"interpolation": "nearest"}, {"size": 0}, {"size": 32.5}, {"size": True}]
)
def test_details_that_serving_does_not_know(tmp_path, pictures, wrong):
    refused(tmp_path, classifier(pictures), pictures, [], made=details(**wrong))
