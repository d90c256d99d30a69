"""The channels of a job: where they are, and the training and validation pictures that they give."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from fastai_container.paths import MLPaths
from fastai_training.console import Log
from fastai_training.data.labels import DataError, Example, Examples
from fastai_training.data.sources import find_examples
from fastai_training.data.split import stratified_split
from fastai_training.data.verification import leave_out_unreadable
from fastai_training.hyperparameters import HyperParameters
from fastai_training.quoting import shown

TRAINING, VALIDATION, WEIGHTS, MODEL = "training", "validation", "weights", "model"
#: Names that users give the channels; the first that is there is taken.
TRAINING_ALIASES = (TRAINING, "train")
VALIDATION_ALIASES = (VALIDATION, "valid")


@dataclass(frozen=True)
class Channels:
    """The folders of the input channels. ``model``: what is gone on from, named by SageMaker's ``model_uri``."""

    training: Path
    validation: Path | None
    weights: Path | None
    model: Path | None = None


def _first(present: dict[str, Path], names: tuple[str, ...]) -> Path | None:
    return next((present[name] for name in names if name in present), None)


def find_channels(paths: MLPaths) -> Channels:
    """Find the folders of the input channels. Raises DataError when there is no training channel."""
    present = {path.name: path for path in sorted(paths.data.iterdir()) if path.is_dir()} if paths.data.is_dir() else {}
    training = _first(present, TRAINING_ALIASES)
    if training is None:
        held = f"there is only {', '.join(map(shown, present))}" if present else "there is none"
        raise DataError(
            f"no channel named {TRAINING} in {paths.data} ({held}); pass the pictures as the channel training"
        )
    return Channels(training, _first(present, VALIDATION_ALIASES), present.get(WEIGHTS), present.get(MODEL))


@dataclass(frozen=True)
class Data:
    """What is trained and validated on. ``skipped``: channel, file and reason of what was left out.

    ``test``: what is scored once, at the end; empty where the user gave none.
    """

    train: list[Example]
    valid: list[Example]
    vocab: list[str]
    skipped: list[tuple[str, str, str]]
    source: str
    test: list[Example] = field(default_factory=list)


def _usable(root: Path, channel: str, parameters: HyperParameters, say: Log, cores: int) -> Examples:
    found = find_examples(root, parameters.label_from, parameters.label_column)
    say(f"channel {channel}: {len(found.items)} pictures of {len(found.vocab)} classes, labels from {found.source}")
    usable = leave_out_unreadable(found, strict=parameters.strict, processes=cores, side=parameters.image_size)
    if usable.skipped:
        named = "; ".join(f"{shown(name)}: {shown(why)}" for name, why in usable.skipped[:5])
        more = " ..." if len(usable.skipped) > 5 else ""
        say(f"channel {channel}: {len(usable.skipped)} pictures left out ({named}{more})")
    return usable


def read_data(channels: Channels, parameters: HyperParameters, say: Log, cores: int) -> Data:
    """Read the training and validation examples. Raises DataError."""
    training = _usable(channels.training, TRAINING, parameters, say, cores)
    skipped = [(TRAINING, name, why) for name, why in training.skipped]
    if channels.validation is None:
        train, valid = stratified_split(training.items, parameters.valid_pct, parameters.seed)
    else:
        validation = _usable(channels.validation, VALIDATION, parameters, say, cores)
        skipped += [(VALIDATION, name, why) for name, why in validation.skipped]
        unknown = sorted(set(validation.vocab) - set(training.vocab))
        if unknown:
            raise DataError(
                f"the validation channel has classes that training does not: {', '.join(map(shown, unknown[:5]))}; "
                "label both channels the same way"
            )
        train, valid = training.items, validation.items
    if len(train) < 2:
        raise DataError(f"need at least 2 training pictures, found {len(train)}; add pictures")
    say(f"training on {len(train)} pictures, validating on {len(valid)}, {len(training.vocab)} classes")
    return Data(train, valid, training.vocab, skipped, training.source)
