from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from PIL import Image  # noqa: E402

from fastai_training.data import loaders as loaders_module  # noqa: E402
from fastai_training.data.labels import DataError, Example  # noqa: E402
from fastai_training.data.late_check import UNREADABLE, LateCheck  # noqa: E402
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


def make(pictures, workers=0, processes=Processes(), late=None, **options):  # noqa: B008
    train, valid = pictures
    parameters = HyperParameters(**({"batch_size": 4, "image_size": 16} | options))
    vocab = sorted({item.label for item in train})
    return build_loaders(train, valid, vocab, parameters, IMAGENET_STATS, torch.device("cpu"), workers, processes, late)


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


@pytest.fixture
def corners(tmp_path):
    """A picture whose corners are red, green, blue and white, and one to validate on."""
    image = Image.new("RGB", (2, 2))
    image.putdata([(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)])
    image.resize((64, 64), Image.Resampling.NEAREST).save(tmp_path / "a.png")
    return [Example(tmp_path / "a.png", "a")] * 4, [Example(tmp_path / "a.png", "a")]


@pytest.mark.parametrize(
    ("flip", "corner_is"),
    [("none", {"red"}), ("horizontal", {"red", "green"}), ("both", {"red", "green", "blue", "white"})],
)
@pytest.mark.parametrize("augment", ["light", "full"])
def test_a_picture_is_mirrored_as_asked(corners, augment, flip, corner_is):
    loader = make(corners, augment=augment, flip=flip, crop_scale=1, rotate=0, zoom=1, lighting=0).train
    names = {(1, 0, 0): "red", (0, 1, 0): "green", (0, 0, 1): "blue", (1, 1, 1): "white"}
    mean, deviation = (torch.tensor(values)[:, None, None] for values in IMAGENET_STATS)
    seen = set()
    for epoch in range(30):
        for x, _ in batches(loader, epoch):
            # A quarter of the way in, so that fastai's warp of augment=full changes nothing there.
            seen |= {names[tuple(round(float(v)) for v in p[:, 4, 4])] for p in x * deviation + mean}
    assert seen == corner_is


def test_single_parts_of_the_augmentation_take_effect(pictures):
    plain = batches(make(pictures).train)
    for options in ({"rotate": 30.0}, {"zoom": 2.0}, {"lighting": 0.5}, {"crop_scale": 0.9}):
        changed = batches(make(pictures, **options).train)
        assert not same(plain, changed), options
        assert same(changed, batches(make(pictures, workers=2, **options).train)), options
        assert same(changed[2:], batches(make(pictures, **options).train, start=2)), options
        assert same(batches(make(pictures).valid), batches(make(pictures, **options).valid)), options


@pytest.mark.parametrize("augment", ["light", "full"])
def test_pictures_grow_from_epoch_to_epoch_and_are_validated_whole(pictures, augment):
    options = {"image_size": 96, "progressive_resizing": 0.34, "epochs": 3, "freeze_epochs": 1, "augment": augment}
    for workers in (0, 1):
        loaders = make(pictures, workers=workers, **options)
        for epoch, size in enumerate((32, 64, 96, 96)):
            assert {x.shape[2:] for x, _ in batches(loaders.train, epoch)} == {(size, size)}
            assert {x.shape[2:] for x, _ in batches(loaders.valid, epoch)} == {(96, 96)}


@pytest.mark.parametrize("options", [{"rotate": 0.0, "zoom": 1.0, "lighting": 0.0}, {"flip": "horizontal"}])
def test_parts_given_as_light_has_them_change_nothing(pictures, options):
    assert same(batches(make(pictures).train), batches(make(pictures, **options).train))


def test_the_rest_of_full_stays_when_parts_are_given(pictures):
    parts = {"flip": "none", "rotate": 0.0, "zoom": 1.0, "lighting": 0.0}
    light, warped, full = (
        batches(make(pictures, augment=augment, **options).train)
        for augment, options in (("light", parts), ("full", parts), ("full", {}))
    )
    assert not same(light, warped)
    assert not same(warped, full)


@pytest.fixture(scope="module")
def unequal(pictures):
    """Five red pictures, two green and one blue: an epoch of two batches of four."""
    wanted = {"red": 5, "green": 2, "blue": 1}
    train = [item for label, most in wanted.items() for item in [i for i in pictures[0] if i.label == label][:most]]
    return train, pictures[1]


def test_balanced_sampling_draws_each_class_equally_often_in_an_epoch_as_long(unequal):
    plain, loader = make(unequal).train, make(unequal, sampling="balanced").train
    assert len(loader) == len(plain) == 2
    seen = torch.zeros(3, dtype=torch.long)
    for epoch in range(30):
        drawn = torch.cat([y for _, y in batches(loader, epoch)])
        assert drawn.bincount(minlength=3).min() >= 2
        seen += drawn.bincount(minlength=3)
    assert seen.sum() == 30 * 8
    assert torch.cat([y for _, y in batches(plain)]).bincount().tolist() == [1, 2, 5]


def test_a_picture_that_comes_again_in_an_epoch_has_another_view(unequal):
    blue = [picture for x, y in batches(make(unequal, sampling="balanced").train) for picture in x[y == 0]]
    assert len(blue) >= 2
    assert not torch.equal(blue[0], blue[1])


def test_a_balanced_epoch_is_the_same_whoever_makes_it_and_shared_by_processes(unequal):
    whole = batches(make(unequal, sampling="balanced").train, 3)
    assert same(whole, batches(make(unequal, workers=2, sampling="balanced").train, 3))
    assert same(whole[1:], batches(make(unequal, sampling="balanced").train, 3, start=1))
    alone = make(unequal, sampling="balanced").train
    shards = [make(unequal, processes=Processes(rank, 2), sampling="balanced").train for rank in range(2)]
    alone.epoch = shards[0].epoch = shards[1].epoch = 1
    assert shards[0].get_idxs() + shards[1].get_idxs() == alone.get_idxs()


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


def test_views_for_evaluation_are_of_the_validation_pictures_in_order_and_repeatable(pictures):
    loaders = make(pictures, tta=2)
    assert len(make(pictures).loaders) == 2
    views, centre = batches(loaders[2], 0), batches(loaders.valid)
    assert torch.equal(torch.cat([y for _, y in views]), torch.cat([y for _, y in centre]))
    assert not same(views, centre)
    assert not same(views, batches(loaders[2], 1))
    assert same(views, batches(make(pictures, workers=2, tta=1)[2], 0))
    assert same(batches(loaders.train), batches(make(pictures).train))


@pytest.fixture
def damaged(tmp_path):
    """Training pictures of which the first, the third, the fourth and the last can't be read, and some to validate."""
    write_pictures(tmp_path, 7)
    train, valid = stratified_split(find_examples(tmp_path).items, 0.2, 0)
    for number in (0, 2, 3, -1):
        train[number].path.write_text("no picture")
    return train, valid


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("options", [{}, {"sampling": "balanced"}, {"cache_mb": 0}])
def test_a_picture_that_is_checked_late_is_marked_and_the_next_one_stands_in(damaged, workers, options):
    train, _ = damaged
    late = LateCheck(train, 16, strict=False)
    loader = make(damaged, workers=workers, late=late, **options).train
    vocab = loader.dataset.vocab
    seen = [batches(loader, epoch) for epoch in range(4)]
    assert [place for place, mark in enumerate(late.marks) if mark == UNREADABLE] == [0, 2, 3, len(train) - 1]
    stands_in = {0: 1, 2: 4, 3: 4, len(train) - 1: 1}
    for epoch, found in enumerate(seen):
        loader.epoch = epoch
        places = [index % len(train) for index in loader.get_idxs()]
        labels = [vocab[label] for _, y in found for label in y.tolist()]
        assert labels == [train[stands_in.get(place, place)].label for place in places]
    fresh = make(damaged, workers=2 - workers, late=LateCheck(train, 16, strict=False), **options).train
    assert same(seen[3], batches(fresh, 3)), "what stands in doesn't depend on what was seen before"


def test_pictures_without_a_damaged_one_are_the_same_checked_late(pictures):
    late = LateCheck(pictures[0], 16, strict=False)
    assert same(batches(make(pictures).train), batches(make(pictures, late=late).train))


@pytest.mark.parametrize("workers", [0, 2])
def test_strict_ends_with_a_sentence_that_names_the_picture(damaged, workers):
    loader = make(damaged, workers=workers, late=LateCheck(damaged[0], 16, strict=True)).train
    with pytest.raises(DataError) as raised:
        batches(loader)
    assert "can't be read and strict is set: not a picture in a format" in str(raised.value)
    assert str(damaged[0][0].path.parent) in str(raised.value)
    assert len(str(raised.value).splitlines()) == 1


@pytest.mark.parametrize("workers", [0, 2])
def test_a_picture_that_was_checked_before_and_has_gone_is_an_error(damaged, workers):
    train, valid = damaged
    valid[0].path.unlink()
    with pytest.raises(ValueError, match=r"^the picture '.*' can't be read any more: can't be read: No such file"):
        batches(make(damaged, workers=workers, late=LateCheck(train, 16, strict=False)).valid)
    with pytest.raises(ValueError, match=r"^the picture '.*' can't be read any more: not a picture"):
        batches(make(damaged, workers=workers).train)
