"""The channels of a job: where they are, and which of them gives what."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastai_container.paths import MLPaths
from fastai_training.config_files import read_input_channels
from fastai_training.data import labels
from fastai_training.data.given_split import splits_of_files
from fastai_training.data.labels import DataError
from fastai_training.data.picture_files import read_tree
from fastai_training.quoting import shown

TRAINING, VALIDATION, TEST, WEIGHTS, MODEL = "training", "validation", "test", "weights", "model"
#: Names that users give the channels; the first that is there is taken.
ALIASES = {
    TRAINING: (TRAINING, "train"),
    VALIDATION: (VALIDATION, "valid", "val"),
    TEST: (TEST, "testing"),
    WEIGHTS: (WEIGHTS,),
    MODEL: (MODEL,),
}
#: Channels that hold a table or list of labels and no pictures, and for whose pictures they are; "" for all.
LABEL_CHANNELS = {
    **{f"{name}_{what}": TRAINING for name in ALIASES[TRAINING] for what in ("lst", "manifest", "labels")},
    **{f"{name}_{what}": VALIDATION for name in ALIASES[VALIDATION] for what in ("lst", "manifest", "labels")},
    **{f"{name}_{what}": TEST for name in ALIASES[TEST] for what in ("lst", "manifest", "labels")},
    **dict.fromkeys(("manifest", "labels", "lst", "annotations"), ""),
}
#: Of SageMaker's built-in semantic segmentation.
_MASK_CHANNELS = ("train_annotation", "validation_annotation", "label_map")
#: Channels in which the SDK's version 3 passes a script and its driver.
_OF_THE_SDK = ("code", "sm_drivers")
_PIPE, _FAST_FILE = "Pipe", "FastFile"


@dataclass(frozen=True)
class Channels:
    """The folders of the input channels.

    ``labels``: by the channel whose pictures they are for ("" for all), the folders of channels with labels alone.
    ``unread``: channels that nobody reads, in words. ``fast_file``: the training channel's files are fetched as they
    are read.
    """

    training: Path
    validation: Path | None = None
    weights: Path | None = None
    test: Path | None = None
    model: Path | None = None
    labels: Mapping[str, list[Path]] = field(default_factory=dict)
    unread: tuple[str, ...] = ()
    fast_file: bool = False

    def labels_of(self, channel: str) -> list[Path]:
        """Return the tables and lists that came in channels of their own for the pictures of ``channel``.

        Of one for all channels, ``train.lst`` is for training and ``val.lst`` for the validation channel, where there
        is one: files of both may have the same names.
        """
        own = [path for folder in self.labels.get(channel, []) for path in read_tree(folder).tables]
        shared = [path for folder in self.labels.get("", []) for path in read_tree(folder).tables]
        try:
            parts = splits_of_files([path.name for path in shared])
        except DataError:  # another table beside them, which the readers judge
            parts = [""]
        if not any(parts):
            return own + shared
        wanted = {VALIDATION: {labels.VALID}, TEST: {labels.TEST}}.get(channel, {labels.TRAIN})
        if channel == TRAINING:
            wanted |= {labels.VALID} if self.validation is None else set()
            wanted |= {labels.TEST} if self.test is None else set()
        return own + [path for path, part in zip(shared, parts, strict=True) if part in wanted]


def _in_mode(described: Mapping[str, Any], mode: str) -> list[str]:
    """The channels that come in SageMaker's input mode ``mode``."""
    return sorted(
        name for name, facts in described.items() if isinstance(facts, dict) and facts.get("TrainingInputMode") == mode
    )


def _refuse_pipes(described: Mapping[str, Any]) -> None:
    """Raises DataError for a channel that comes as a stream."""
    pipes = _in_mode(described, _PIPE)
    if pipes:
        raise DataError(
            f"the channel {', '.join(map(shown, pipes))} comes in Pipe mode, a stream that can't be read as files; set "
            'the input mode to File, or to FastFile for very many pictures (input_mode="FastFile"). The manifest of an '
            "AugmentedManifestFile is passed as a file of its own channel, manifest"
        )


def find_channels(paths: MLPaths) -> Channels:
    """Find the folders of the input channels.

    Raises DataError when there is no training channel, or one that can't be read here.
    """
    described = read_input_channels(paths.config)
    _refuse_pipes(described)
    present = {path.name: path for path in sorted(paths.data.iterdir()) if path.is_dir()} if paths.data.is_dir() else {}
    masks = [name for name in _MASK_CHANNELS if name in present]
    if masks:
        raise DataError(
            f"the channel {masks[0]} holds masks for segmentation (task=segmentation), which this version can't train"
        )
    found = {channel: next((name for name in names if name in present), "") for channel, names in ALIASES.items()}
    if not found[TRAINING]:
        held = f"there is only {', '.join(map(shown, present))}" if present else "there is none"
        raise DataError(
            f"no channel named {TRAINING} in {paths.data} ({held}); pass the pictures as the channel training"
        )
    of_labels: dict[str, list[Path]] = {}
    unread = []
    for name, path in present.items():
        if name in LABEL_CHANNELS:
            channel = LABEL_CHANNELS[name]
            unread += _unread_of_labels(name, path, channel, found)
            if not channel or found[channel]:
                of_labels.setdefault(channel, []).append(path)
        elif name not in {*found.values(), *_OF_THE_SDK}:
            unread.append(_unread(name, path, found))
    folders = {channel: present.get(name) for channel, name in found.items()}
    return Channels(
        present[found[TRAINING]],
        folders[VALIDATION],
        folders[WEIGHTS],
        folders[TEST],
        folders[MODEL],
        of_labels,
        tuple(unread),
        found[TRAINING] in _in_mode(described, _FAST_FILE),
    )


def _held(path: Path) -> str:
    tree = read_tree(path)
    return f"{len(tree.pictures) + len(tree.records)} files of pictures, {len(tree.tables)} tables"


def _unread_of_labels(name: str, path: Path, channel: str, found: Mapping[str, str]) -> list[str]:
    """What of a channel of labels is not read, in words."""
    if channel and not found[channel]:
        return [f"channel {shown(name)} is not read ({_held(path)}): there is no channel {channel} for its labels"]
    tree = read_tree(path)
    if not tree.tables:
        return [f"channel {shown(name)} is not read ({_held(path)}): it has no list or table of labels"]
    if tree.pictures or tree.records:
        return [f"channel {shown(name)} is read for labels alone ({_held(path)}); pass pictures as {TRAINING}"]
    return []


def _unread(name: str, path: Path, found: Mapping[str, str]) -> str:
    held = _held(path)
    for channel, names in ALIASES.items():
        if name in names:
            return f"channel {shown(name)} is not read ({held}): the channel {found[channel]} is taken for {channel}"
    known = [*(other for names in ALIASES.values() for other in names), *LABEL_CHANNELS]
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    hint = f"did you mean {near[0]}?" if near else f"channels are called {', '.join(ALIASES)}"
    return f"channel {shown(name)} is not read ({held}); {hint}"
