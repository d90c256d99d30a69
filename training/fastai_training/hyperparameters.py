"""The hyperparameters of the built-in trainer: one typed dataclass, made of what hyperparameters.json says.

``python -m fastai_training.hyperparameters`` prints them as the README's table.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fastai_container.errors import UserError
from fastai_container.sagemaker import RESERVED_PREFIXES
from fastai_training.config_files import decoded_value

#: Other names for the same thing, as scripts for SageMaker call it.
ALIASES = {
    "model_arch": "arch",
    "bs": "batch_size",
    "learning_rate": "lr",
    "size": "image_size",
    "num_workers": "workers",
}
#: Single parts of the augmentation; at "auto" they are as ``augment`` has them.
KNOBS = ("flip", "rotate", "zoom", "lighting", "crop_scale")
#: A hyperparameter that the SDK was given as None; the default holds.
_UNSET = ("None", "null")


class HyperParameterError(UserError):
    """A hyperparameter that doesn't exist, or a value that it can't have."""


def _parameter(
    default: Any,
    doc: str,
    *,
    kind: type | None = None,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
    words: tuple[str, ...] = (),
    blanks: bool = False,
) -> Any:
    """``choices``: the only values; ``words``: accepted besides a number, such as "auto"; ``blanks``: they count."""
    facts = {"doc": doc, "kind": kind or type(default), "low": low, "high": high, "choices": choices, "words": words}
    return field(default=default, metadata=facts | {"blanks": blanks})


@dataclass(frozen=True)
class HyperParameters:
    """Defaults are lesson 1's, as far as they still make sense."""

    arch: str = _parameter(
        "resnet34",
        "architecture: a name of torchvision's or timm's classification models that can take `image_size`",
    )
    epochs: int = _parameter(4, "epochs of training the whole network; 0 trains the head alone", low=0, high=10_000)
    freeze_epochs: int = _parameter(
        1, "epochs of training the head alone first, when the body is pretrained", low=0, high=10_000
    )
    lr: float | str = _parameter(
        2e-3, "base learning rate; `auto` runs the learning-rate finder", kind=float, low=1e-9, high=10, words=("auto",)
    )
    batch_size: int = _parameter(64, "pictures in a batch", low=2, high=8192)
    image_size: int = _parameter(224, "side in pixels of the square that pictures are cropped to", low=16, high=2048)
    valid_pct: float = _parameter(
        0.2, "share of the pictures kept for validation when there is no `validation` channel", low=0.01, high=0.9
    )
    seed: int = _parameter(42, "seed of the split, the order and the augmentation", low=0, high=2**31 - 1)
    pretrained: bool = _parameter(True, "start from ImageNet weights")
    head: str = _parameter(
        "auto",
        "with a channel `model`: `keep` its head for the classes in common, make a `new` one, or `auto`: keep where "
        "there are such classes",
        choices=("auto", "keep", "new"),
    )
    unpickle: bool = _parameter(
        False, "open a learner's `export.pkl` in the channel `model`; a pickle runs code, so only one that you trust"
    )
    workers: int | str = _parameter(
        "auto",
        "processes that decode pictures; `auto` goes by cores and /dev/shm",
        kind=int,
        low=0,
        high=256,
        words=("auto",),
    )
    precision: str = _parameter(
        "auto",
        "arithmetic of training; `auto` is fp16 on CUDA, bf16 where a CPU is faster with it, else fp32",
        choices=("auto", "fp32", "bf16", "fp16"),
    )
    serving_precision: str = _parameter(
        "auto",
        "arithmetic of serving on CPUs; `auto` measures all and takes the fastest that predicts what fp32 does",
        choices=("auto", "fp32", "bf16", "int8"),
    )
    label_from: str = _parameter(
        "auto",
        "where labels come from: `names` (shiba_inu_12.jpg), `folders` (shiba_inu/12.jpg), `manifest` (CSV, JSONL), "
        "`ground_truth`, `lst` or `recordio`",
        choices=("auto", "names", "folders", "manifest", "ground_truth", "lst", "recordio"),
    )
    label_column: str = _parameter(
        "", "the column of the labels in a manifest, or Ground Truth's attribute, when its name doesn't say so"
    )
    label_delim: str = _parameter("", "what parts several labels in one cell, such as a blank", blanks=True)
    manifest: str = _parameter("", "the file with the labels, where a channel has several that could be it")
    class_folder: str = _parameter(
        "auto",
        "which folder is the class where folders lie in folders: the `first` or the `last`",
        choices=("auto", "first", "last"),
    )
    min_label_confidence: float = _parameter(
        0.0, "leave out labels of Ground Truth with a lower confidence", low=0, high=1
    )
    valid_fold: str = _parameter(
        "", "the fold to validate on where a manifest has a column `fold`; the lowest if not given"
    )
    group_column: str = _parameter("", "a manifest's column whose groups (patients, sites) the split keeps together")
    group_from: str = _parameter("", "a regular expression on the path, whose match is the picture's group")
    augment: str = _parameter(
        "light",
        "augmentation: `light` (random crop and flip), `full` (fastai's aug_transforms too) or `none`",
        choices=("none", "light", "full"),
    )
    flip: str = _parameter(
        "auto",
        "mirror pictures at random: `horizontal`, `both` (upside down too) or `none`; `auto` (below too): as `augment`",
        choices=("auto", "none", "horizontal", "both"),
    )
    rotate: float | str = _parameter(
        "auto", "turn by up to so many degrees either way", kind=float, low=0, high=180, words=("auto",)
    )
    zoom: float | str = _parameter("auto", "enlarge by up to so much", kind=float, low=1, high=4, words=("auto",))
    lighting: float | str = _parameter(
        "auto", "change brightness and contrast by up to so much", kind=float, low=0, high=0.9, words=("auto",)
    )
    crop_scale: float | str = _parameter(
        "auto",
        "smallest share of a picture's area that the random crop covers",
        kind=float,
        low=0.05,
        high=1,
        words=("auto",),
    )
    progressive_resizing: float = _parameter(
        1.0,
        "share of `image_size` that the first epoch trains at; it grows until two thirds of the epochs; 1 is off",
        low=0.25,
        high=1,
    )
    class_weights: str = _parameter(
        "none",
        "weights of classes in the loss: `balanced` (a class of half the pictures weighs twice) or `sqrt` (its root)",
        choices=("none", "balanced", "sqrt"),
    )
    sampling: str = _parameter(
        "none",
        "`balanced` draws every class equally often; an epoch stays as long as it was",
        choices=("none", "balanced"),
    )
    label_smoothing: float = _parameter(
        0.0, "share of each label that is spread over all classes while training", low=0, high=0.5
    )
    mixup: float = _parameter(
        0.0,
        "alpha of MixUp, which blends pictures and their labels while the whole network is trained; 0 is off",
        low=0,
        high=1,
    )
    cutmix: float = _parameter(
        0.0,
        "alpha of CutMix, which pastes a part of one picture into another, in place of `mixup`; 0 is off",
        low=0,
        high=1,
    )
    keep: str = _parameter(
        "last",
        "the epoch whose weights are exported: the `last`, or the `best` (lowest validation error)",
        choices=("last", "best"),
    )
    early_stopping: int = _parameter(
        0,
        "stop after so many epochs of the whole network without a lower validation error (use `keep=best`); 0 is off",
        low=0,
        high=10_000,
    )
    tta: int = _parameter(
        0,
        "random views of each validation picture for test-time augmentation, whose error is reported; serving has none",
        low=0,
        high=32,
    )
    weight_decay: float = _parameter(0.01, "weight decay", low=0, high=1)
    momentum: float = _parameter(0.95, "highest momentum of the one-cycle schedule", low=0, high=0.999)
    cache_mb: int | str = _parameter(
        "auto",
        "memory (MiB) for decoded pictures, kept from epoch to epoch; `auto` takes a quarter of what is free",
        kind=int,
        low=0,
        high=10_000_000,
        words=("auto",),
    )
    checkpoint_seconds: int = _parameter(
        600,
        "write a checkpoint at least this often (seconds) besides each epoch's end; 0 for the ends alone",
        low=0,
        high=86_400,
    )
    folds: int = _parameter(
        0,
        "parts of the pictures that tell the error's spread: for each a head is trained without it; 0 for none",
        low=0,
        high=20,
    )
    check_pictures: str = _parameter(
        "auto",
        "check training pictures in a pass `before` training or `while_training`, as they are first decoded; `auto`: "
        "while training in FastFile mode or with more than 20,000 of them",
        choices=("auto", "before", "while_training"),
    )
    strict: bool = _parameter(False, "fail on the first unreadable picture instead of leaving it out")


def _expected(info: Mapping[str, Any]) -> str:
    if info["choices"]:
        return "one of " + ", ".join(info["choices"])
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
    text = names[info["kind"]]
    if info["low"] is not None:
        text += f" from {info['low']:g} to {info['high']:g}"
    return text + "".join(f" or {word}" for word in info["words"])


def _convert(name: str, text: str, info: Mapping[str, Any]) -> Any:
    """The typed value of ``text``. Raises HyperParameterError."""
    error = HyperParameterError(f"hyperparameter {name}={text!r} is not valid: it must be {_expected(info)}")
    word = text.strip()
    if word.lower() in info["words"]:
        return word.lower()
    if info["choices"]:
        if word.lower() in info["choices"]:
            return word.lower()
        near = difflib.get_close_matches(word.lower(), info["choices"], n=1)
        raise HyperParameterError(f"{error}; did you mean {near[0]}?") if near else error
    if info["kind"] is bool:
        values = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
        if word.lower() not in values:
            raise error
        return values[word.lower()]
    if info["kind"] is str:
        return text if info["blanks"] else word
    try:
        number = float(word)
    except ValueError:
        raise error from None
    if not math.isfinite(number) or (info["low"] is not None and not info["low"] <= number <= info["high"]):
        raise error
    if info["kind"] is int:
        if number != int(number):
            raise error
        return int(number)
    return number


def _plain(value: Any) -> str:
    """The text of a value as the user gave it: the SDK's script mode JSON-encodes it, a plain estimator does not."""
    if not isinstance(value, str):
        return json.dumps(value)
    decoded = decoded_value(value)
    return decoded if isinstance(decoded, str) else value


def _given(values: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """The name as it was written and the text of each hyperparameter that ``values`` give, by its proper name.

    Raises HyperParameterError for a name that doesn't exist or is there twice.
    """
    fields = HyperParameters.__dataclass_fields__
    names: dict[str, str] = {}
    result: dict[str, tuple[str, str]] = {}
    for raw_name, raw_value in values.items():
        plain_name = raw_name.strip().lstrip("-").replace("-", "_")
        if plain_name.startswith(RESERVED_PREFIXES):
            continue
        name = ALIASES.get(plain_name, plain_name)
        if name not in fields:
            near = difflib.get_close_matches(name, [*fields, *ALIASES], n=1, cutoff=0.5)
            hint = f"did you mean {near[0]}?" if near else "there are " + ", ".join(fields)
            raise HyperParameterError(f"there is no hyperparameter {raw_name!r}; {hint}")
        if name in names:
            raise HyperParameterError(f"hyperparameter {name} is given twice: as {names[name]!r} and as {raw_name!r}")
        names[name] = raw_name
        text = _plain(raw_value)
        if text.strip() not in _UNSET:
            result[name] = (raw_name, text)
    return result


def given(values: Mapping[str, Any]) -> frozenset[str]:
    """The names of the hyperparameters that ``values`` say themselves, all others have their defaults.

    Raises HyperParameterError as ``parse`` does for a name.
    """
    return frozenset(_given(values))


def parse(values: Mapping[str, Any]) -> HyperParameters:
    """Typed hyperparameters from the strings of hyperparameters.json.

    Dashes and underscores are the same; names with a reserved prefix are left to SageMaker; None counts as not
    given. Raises HyperParameterError for a name that doesn't exist (naming the nearest one), a name given twice or a
    bad value.
    """
    fields = HyperParameters.__dataclass_fields__
    parameters = HyperParameters(
        **{name: _convert(raw_name, text, fields[name].metadata) for name, (raw_name, text) in _given(values).items()}
    )
    _check_together(parameters)
    return parameters


def _check_together(parameters: HyperParameters) -> None:
    """Raises HyperParameterError for values that are right alone but not beside each other."""
    if parameters.epochs == 0 and not (parameters.pretrained and parameters.freeze_epochs):
        raise HyperParameterError(
            "epochs=0 trains the head of a pretrained network alone: it needs pretrained=true and freeze_epochs of 1 "
            "or more"
        )
    if parameters.epochs == 0:
        for name in ("mixup", "cutmix", "early_stopping"):
            if value := getattr(parameters, name):
                raise HyperParameterError(
                    f"{name}={value:g} is for the training of the whole network, and epochs=0 trains the head alone; "
                    f"leave {name} out, or set epochs to 1 or more"
                )
    given = [f"{name}={value}" for name in KNOBS if (value := getattr(parameters, name)) != "auto"]
    given += [f"tta={parameters.tta}"] if parameters.tta else []
    if given and parameters.augment == "none":
        raise HyperParameterError(
            f"augment=none would leave {' and '.join(given)} unused; leave out the one or the other (augment=light is "
            "the random crop and flip)"
        )
    if parameters.mixup and parameters.cutmix:
        raise HyperParameterError(
            f"mixup={parameters.mixup:g} and cutmix={parameters.cutmix:g}: a batch is mixed in one way; give one"
        )
    if parameters.class_weights != "none" and parameters.sampling != "none":
        raise HyperParameterError(
            f"class_weights={parameters.class_weights} and sampling={parameters.sampling} would correct for the "
            "classes' sizes twice; give one of them"
        )
    if parameters.folds == 1:
        raise HyperParameterError("folds=1 leaves nothing to train on: it must be 0 (off) or from 2 to 20")
    if parameters.folds and not parameters.pretrained:
        raise HyperParameterError(
            f"folds={parameters.folds} trains the head on a pretrained body's features: it needs pretrained=true; "
            "set folds=0"
        )
    if parameters.folds and parameters.check_pictures == "while_training":
        raise HyperParameterError(
            f"folds={parameters.folds} decodes every picture before training, so none can be checked by "
            "check_pictures=while_training; leave out the one or the other"
        )


def table() -> str:
    """All hyperparameters as a Markdown table."""
    rows = ["| name | default | what |", "|---|---|---|"]
    for item in dataclasses.fields(HyperParameters):
        default = (
            "" if item.default == "" else f"`{str(item.default).lower() if item.type == 'bool' else item.default}`"
        )
        rows.append(f"| `{item.name}` | {default} | {item.metadata['doc']} |")
    return "\n".join(rows)


if __name__ == "__main__":
    print(table())
