from __future__ import annotations

import multiprocessing

import pytest
from PIL import Image

from fastai_training.data import picture_cache
from fastai_training.data.picture_cache import MB, PictureCache, cache_bytes
from fastai_training.hyperparameters import HyperParameters
from tests.unit.training_data import COLOURS, write_picture, write_pictures
from tests.waiting import PATIENCE


@pytest.fixture
def pictures(tmp_path):
    from fastai_container.pictures import open_picture

    sizes = [(40, 32), (7, 5), (64, 64)]
    return [open_picture(write_picture(tmp_path / f"a_{n}.jpg", COLOURS["red"], size)) for n, size in enumerate(sizes)]


def test_pictures_come_back_as_they_were(pictures):
    cache = PictureCache(3, MB)
    assert all(cache.put(number, picture) for number, picture in enumerate(pictures))
    for number, picture in enumerate(pictures):
        assert cache.get(number).size == picture.size
        assert cache.get(number).tobytes() == picture.tobytes()


def test_it_takes_no_more_than_its_room(pictures):
    cache = PictureCache(3, 40 * 32 * 3 + 200)
    assert [cache.put(number, picture) for number, picture in enumerate(pictures)] == [True, True, False]
    assert cache.get(2) is None
    assert cache.get(1).tobytes() == pictures[1].tobytes()


def test_without_room_there_is_none(pictures):
    cache = PictureCache(3, 0)
    assert not cache.put(0, pictures[0])
    assert cache.get(0) is None


def test_what_a_forked_worker_keeps_all_see(pictures):
    cache = PictureCache(3, MB)
    worker = multiprocessing.get_context("fork").Process(target=cache.put, args=(1, pictures[1]))
    worker.start()
    worker.join(PATIENCE)
    assert worker.exitcode == 0
    assert cache.get(1).tobytes() == pictures[1].tobytes()


def test_its_size_follows_the_free_memory(monkeypatch):
    monkeypatch.setattr(picture_cache, "free_memory_bytes", lambda: 800 * MB)
    assert cache_bytes("auto") == 200 * MB
    assert cache_bytes("auto", 4) == 50 * MB
    assert cache_bytes(64) == 64 * MB
    assert cache_bytes(0) == 0


def test_a_very_large_picture_is_decoded_anew_each_time():
    cache = PictureCache(1, 100 * MB)
    assert not cache.put(0, Image.new("RGB", (5000, 5000)))
    assert cache.get(0) is None


@pytest.mark.parametrize("workers", [0, 2])
def test_a_second_epoch_opens_no_file(tmp_path, workers):
    torch = pytest.importorskip("torch")
    from fastai_training.data.loaders import build_loaders
    from fastai_training.data.sources import find_examples
    from fastai_training.fitting.models import IMAGENET_STATS

    write_pictures(tmp_path, 6)
    items = find_examples(tmp_path).items

    def loader(**options):
        parameters = HyperParameters(batch_size=6, image_size=16, **options)
        return build_loaders(
            items, items[:3], ["blue", "green", "red"], parameters, IMAGENET_STATS, torch.device("cpu"), workers
        ).train

    def epoch(loader, number):
        loader.epoch = number
        return torch.cat([batch.as_subclass(torch.Tensor) for batch, _ in loader])

    cached, plain = loader(cache_mb=1), loader(cache_mb=0)
    assert torch.equal(epoch(cached, 0), epoch(plain, 0))
    second = epoch(plain, 1)
    for item in items:
        item.path.unlink()
    assert torch.equal(epoch(cached, 1), second)
