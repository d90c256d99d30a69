"""What the trainer trains with, on a network of two layers: its learner, its callbacks, and how it validates."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from fastai.callback.fp16 import AMPMode, MixedPrecision  # noqa: E402
from fastai.callback.progress import ProgressCallback  # noqa: E402
from fastai.data.core import DataLoaders  # noqa: E402
from fastai.data.load import DataLoader  # noqa: E402
from torch import nn  # noqa: E402

from fastai_training.fitting.callbacks import FrozenStatistics, StopAtNan  # noqa: E402
from fastai_training.fitting.models import IMAGENET_STATS, Classifier  # noqa: E402
from fastai_training.fitting.recipe import build_learner, find_rate, training_callbacks, validate  # noqa: E402
from fastai_training.hyperparameters import HyperParameters  # noqa: E402
from fastai_training.world import Processes  # noqa: E402

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


class Shared(Processes):
    """Stands for ``world`` processes that have each made their shard: ``gather`` gives them all."""

    def __init__(self, shards: list[torch.Tensor]) -> None:
        super().__init__(0, len(shards))
        object.__setattr__(self, "shards", shards)

    def gather(self, value: torch.Tensor) -> list[torch.Tensor]:
        assert torch.equal(value, self.shards[0])
        return self.shards


class Loader(DataLoader):
    start = 0  # where the resumable loop begins


def picture(number: int) -> torch.Tensor:
    return torch.full((3, 2, 2), number / 10)


def learner(valid: list[int], **parameters):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Flatten()), nn.Linear(16, 2))
    classifier = Classifier(
        network, lambda model: [list(part.parameters()) for part in model], IMAGENET_STATS, "tiny", None
    )
    train, held_out = (
        Loader([(picture(number), torch.tensor(number % 2)) for number in numbers], bs=2)
        for numbers in (range(10), valid)
    )
    loaders = DataLoaders(train, held_out)
    loaders.vocab = ["even", "odd"]
    return build_learner(loaders, classifier, HyperParameters(**parameters), CPU)


def test_the_learner_takes_its_numbers_from_the_hyperparameters():
    made = learner([0], weight_decay=0.03, momentum=0.9)
    assert (made.wd, made.moms) == (0.03, (0.9, pytest.approx(0.8), 0.9))
    assert not any(isinstance(callback, ProgressCallback) for callback in made.cbs), "Progress speaks in its place"
    made.create_opt()
    assert [len(group) for group in made.opt.param_lists] == [4, 2], "body and head, for their own rates"


@pytest.mark.parametrize("pretrained", [True, False])
def test_a_frozen_bodys_batch_norm_is_trained_from_scratch_alone(pretrained: bool):
    made = learner([0], pretrained=pretrained)
    made.freeze()
    assert made.model[0][1].weight.requires_grad is not pretrained
    assert made.model[1].weight.requires_grad


@pytest.mark.parametrize(
    ("precision", "device", "mode"),
    [
        ("bf16", CUDA, AMPMode.BF16),
        ("fp16", CUDA, AMPMode.FP16),
        ("fp32", CUDA, None),
        ("bf16", CPU, None),  # from phase to phase, by run_phases
    ],
)
def test_a_gpu_computes_in_the_precision_that_was_chosen(precision: str, device: torch.device, mode: AMPMode | None):
    callbacks = training_callbacks(precision, device, pretrained=True)
    mixed = [callback.amp_mode for callback in callbacks if isinstance(callback, MixedPrecision)]
    assert mixed == ([] if mode is None else [mode])


def test_statistics_are_kept_of_pretrained_weights_alone():
    kept = [FrozenStatistics in training_callbacks("fp32", CPU, pretrained) for pretrained in (True, False)]
    assert kept == [True, False]
    assert StopAtNan in training_callbacks("fp32", CPU, pretrained=False)


def test_probabilities_are_those_of_the_pictures_in_their_order():
    made = learner([3, 1, 4, 1, 5])
    found = validate(made, Processes())
    assert found.shape == (5, 2)
    assert torch.allclose(found.sum(1), torch.ones(5))
    assert torch.equal(found[1], found[3])
    with torch.no_grad():
        alone = made.model.eval()(picture(4)[None]).softmax(1)[0]
    assert torch.allclose(found[2], alone, atol=1e-6)
    assert not made.model.training


def test_shards_of_several_processes_are_put_in_the_pictures_order():
    made = learner([0, 2, 4])
    mine = validate(made, Processes())
    other = torch.tensor([[0.25, 0.75], [0.5, 0.5]])
    found = validate(made, Shared([mine, other]))
    assert torch.equal(found, torch.stack([mine[0], other[0], mine[1], other[1], mine[2]]))


def test_a_process_without_pictures_leaves_no_gap():
    made = learner([0])
    mine = validate(made, Processes())
    assert torch.equal(validate(made, Shared([mine, torch.empty(0)])), mine)


def test_the_rate_that_is_found_leaves_the_network_as_it_was():
    made = learner([0], pretrained=False)
    before = {name: value.clone() for name, value in made.model.state_dict().items()}
    assert 1e-8 < find_rate(made) < 10
    assert all(torch.equal(before[name], value) for name, value in made.model.state_dict().items())
