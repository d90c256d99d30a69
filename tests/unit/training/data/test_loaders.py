from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from fastai_training.data import loaders as loaders_module  # noqa: E402
from fastai_training.data.labels import DataError  # noqa: E402
from fastai_training.data.loaders import build_loaders, worker_count  # noqa: E402
from fastai_training.data.sources import find_examples  # noqa: E402
from fastai_training.data.split import stratified_split  # noqa: E402
from fastai_training.fitting.models import IMAGENET_STATS  # noqa: E402
from fastai_training.hyperparameters import HyperParameters  # noqa: E402
from fastai_training.world import Processes  # noqa: E402
from tests.unit.training_data import write_pictures  # noqa: E402

MB = 2**20


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    write_pictures(folder, 7)
    return stratified_split(find_examples(folder).items, 0.2, 0)


def make(pictures, workers=0, processes=Processes(), **options):  # noqa: B008
    train, valid = pictures
    parameters = HyperParameters(batch_size=4, image_size=16, **options)
    vocab = sorted({item.label for item in train})
    return build_loaders(train, valid, vocab, parameters, IMAGENET_STATS, torch.device("cpu"), workers, processes)


def batches(loader, epoch=0, start=0):
    loader.epoch, loader.start = epoch, start
    return [(x.as_subclass(torch.Tensor).clone(), y.as_subclass(torch.Tensor).clone()) for x, y in loader]


def same(first, second):
    return len(first) == len(second) and all(
        torch.equal(a[0], b[0]) and torch.equal(a[1], b[1]) for a, b in zip(first, second, strict=True)
    )


@pytest.mark.parametrize("augment", ["none", "light", "full"])
def test_an_epoch_is_the_same_whoever_makes_it_and_wherever_it_starts(pictures, augment):
    whole = batches(make(pictures, augment=augment).train)
    assert len(whole) == 4
    assert same(whole, batches(make(pictures, workers=2, augment=augment).train))
    assert same(whole[3:], batches(make(pictures, augment=augment).train, start=3))
    assert same(whole[2:], batches(make(pictures, workers=2, augment=augment).train, start=2))


@pytest.mark.parametrize("augment", ["light", "full"])
def test_another_epoch_has_another_order_and_other_views(pictures, augment):
    loader = make(pictures, augment=augment).train
    assert not same(batches(loader, 0), batches(loader, 1))
    assert not same(batches(make(pictures, augment=augment, seed=1).train), batches(loader, 0))


def test_an_epoch_holds_each_picture_at_most_once_and_fills_its_batches(pictures):
    loader = make(pictures).train
    order = loader.get_idxs()
    assert len(order) == len(set(order)) == 16
    assert all(len(y) == 4 for _, y in batches(loader))


def test_processes_share_an_epoch_between_them(pictures):
    alone = make(pictures).train
    shards = [make(pictures, processes=Processes(rank, 2)).train for rank in range(2)]
    orders = [shard.get_idxs() for shard in shards]
    assert [len(shard) for shard in shards] == [2, 2]
    assert not set(orders[0]) & set(orders[1])
    # The first batch of two processes is the first two batches of one.
    assert orders[0][:4] + orders[1][:4] == alone.get_idxs()[:8]


def test_processes_share_the_validation_pictures(pictures):
    shards = [make(pictures, processes=Processes(rank, 2)).valid.get_idxs() for rank in range(2)]
    assert sorted(shards[0] + shards[1]) == list(range(len(pictures[1])))


def test_too_few_pictures_for_so_many_processes(pictures):
    with pytest.raises(DataError, match="too few to train on in 16 processes"):
        make(pictures, processes=Processes(0, 16))


def test_validation_is_in_order_and_whole(pictures):
    loader = make(pictures).valid
    labels = torch.cat([y for _, y in batches(loader)]).tolist()
    assert [loader.dataset.vocab[index] for index in labels] == [item.label for item in pictures[1]]


@pytest.mark.parametrize(
    ("free", "expected", "told"),
    [(None, 4, False), (1000 * MB, 4, False), (16 * MB, 2, True), (1 * MB, 0, True)],
)
def test_as_many_workers_as_dev_shm_holds(monkeypatch, free, expected, told):
    monkeypatch.setattr(loaders_module, "shared_memory_free_bytes", lambda: free)
    count, why = worker_count(HyperParameters(workers=4, batch_size=21, image_size=128))
    assert (count, bool(why)) == (expected, told)
    assert not told or "--shm-size=2g" in why


def test_workers_follow_the_cores_of_the_process(monkeypatch):
    monkeypatch.setattr(loaders_module, "shared_memory_free_bytes", lambda: None)
    monkeypatch.setattr(loaders_module, "cpu_count", lambda: 8)
    assert worker_count(HyperParameters())[0] == 8
    assert worker_count(HyperParameters(), 4)[0] == 2
    assert worker_count(HyperParameters(workers=0))[0] == 0
