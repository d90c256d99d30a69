"""Progressive resizing: the side of the training pictures in each epoch, small at first and whole at the end."""

from __future__ import annotations

from itertools import groupby

from fastai_training.hyperparameters import HyperParameters

#: Networks halve a picture five times: other sides than multiples of this lose pixels at the edges.
STEP = 32
#: Of the epochs: by then pictures have their whole size.
GROWING = 2 / 3


def epoch_sizes(parameters: HyperParameters) -> list[int]:
    """The side in pixels for each epoch of the run, those of the head alone among them; the last one has the whole."""
    epochs = parameters.epochs + (parameters.freeze_epochs if parameters.pretrained else 0)
    first, whole = parameters.progressive_resizing, parameters.image_size
    sizes = []
    for epoch in range(epochs - 1):
        share = min(1.0, first + (1 - first) * epoch / (GROWING * (epochs - 1)))
        sizes.append(whole if share == 1 else min(whole, max(STEP, round(share * whole / STEP) * STEP)))
    return [*sizes, whole]


def sizes_told(parameters: HyperParameters) -> str:
    """The line of the log that says which epochs have which size; empty without progressive resizing."""
    if parameters.progressive_resizing == 1:
        return ""
    runs, epoch = [], 0
    for size, same in groupby(epoch_sizes(parameters)):
        count = len(list(same))
        runs.append(f"{size} pixels in epoch {epoch + 1}" + (f" to {epoch + count}" if count > 1 else ""))
        epoch += count
    return f"progressive_resizing={parameters.progressive_resizing:g}: pictures are trained on at {', '.join(runs)}"
