from __future__ import annotations

import pytest

from fastai_training.hyperparameters import HyperParameters
from fastai_training.picture_sizes import epoch_sizes, sizes_told


def sizes(**options):
    return epoch_sizes(HyperParameters(**({"progressive_resizing": 0.5, "freeze_epochs": 0} | options)))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"epochs": 5}, [128, 160, 192, 224, 224]),
        ({"epochs": 4, "freeze_epochs": 1}, [128, 160, 192, 224, 224]),
        ({"epochs": 4, "freeze_epochs": 1, "pretrained": False}, [128, 160, 224, 224]),
        ({"epochs": 2}, [128, 224]),
        ({"epochs": 1}, [224]),
        ({"epochs": 3, "image_size": 250}, [128, 224, 250]),
        ({"epochs": 3, "image_size": 40}, [32, 32, 40]),
        ({"epochs": 3, "image_size": 24}, [24, 24, 24]),
        ({"epochs": 3, "progressive_resizing": 1.0}, [224, 224, 224]),
    ],
)
def test_they_grow_in_multiples_of_32_to_the_whole(options, expected):
    assert sizes(**options) == expected


@pytest.mark.parametrize("epochs", [1, 2, 3, 7, 30, 100])
def test_the_last_third_and_always_the_last_epoch_have_the_whole_size(epochs):
    found = sizes(epochs=epochs)
    assert len(found) == epochs
    assert found == sorted(found)
    assert set(found[-max(1, epochs // 3) :]) == {224}


def test_the_log_says_which_epochs_have_which_size():
    assert sizes_told(HyperParameters()) == ""
    assert sizes_told(HyperParameters(progressive_resizing=0.5)) == (
        "progressive_resizing=0.5: pictures are trained on at 128 pixels in epoch 1, 160 pixels in epoch 2, "
        "192 pixels in epoch 3, 224 pixels in epoch 4 to 5"
    )
