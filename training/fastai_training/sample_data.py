"""Data for the demo: the Oxford pets by fastai, or with no network the handwritten digits that scikit-learn carries.

``python -m fastai_training.sample_data FOLDER`` prints one line of JSON last: the data's folder and hyperparameters
that suit it.
"""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path
from typing import Any

from PIL import Image

#: Seconds to wait for the pets' server before taking the digits.
CONNECT_TIMEOUT = 5.0
DIGIT_PIXELS = 64


def write_digits(folder: Path) -> Path:
    """scikit-learn's 1,797 digits of 8x8 pixels as JPEGs named by their class, below ``folder``."""
    from sklearn.datasets import load_digits

    pictures = folder / "digits"
    pictures.mkdir(parents=True, exist_ok=True)
    digits = load_digits()
    for number, (pixels, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        image = Image.fromarray((pixels * (255 / 16)).round().astype("uint8"))
        image = image.resize((DIGIT_PIXELS, DIGIT_PIXELS), Image.Resampling.BICUBIC)
        image.convert("RGB").save(pictures / f"digit_{label}_{number:04d}.jpg", quality=92)
    return pictures


def download_pets(folder: Path) -> Path:
    """The Oxford-IIIT pets (7,390 pictures) by fastai. Raises OSError when its server can't be reached."""
    from fastai.data.external import URLs, untar_data
    from fastdownload import FastDownload  # noqa: F401 - fastai's downloader; an ImportError here is not a network's

    host = URLs.PETS.split("/")[2]
    socket.create_connection((host, 443), timeout=CONNECT_TIMEOUT).close()
    return Path(untar_data(URLs.PETS, base=folder)) / "images"


def prepare(folder: Path) -> dict[str, Any]:
    """Fetch or make the demo's pictures; returns their folder, a name and hyperparameters."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        pictures = download_pets(folder)
    except OSError as error:
        print(f"the pets' server can't be reached ({error}): taking scikit-learn's digits", flush=True)
        return {
            "name": "digits",
            "data": str(write_digits(folder)),
            "hyperparameters": {"arch": "efficientnet_lite0", "epochs": "2", "image_size": "64", "augment": "none"},
        }
    return {
        "name": "pets",
        "data": str(pictures),
        "hyperparameters": {"arch": "efficientnet_lite0", "epochs": "1", "image_size": "160"},
    }


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m fastai_training.sample_data FOLDER")
    print(json.dumps(prepare(Path(sys.argv[1]))))
