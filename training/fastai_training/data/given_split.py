"""A split that the user made: in the names of folders and files, or in a column of a table."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from fastai_training.data.labels import TEST, TRAIN, VALID, DataError
from fastai_training.quoting import shown

_WORDS = {
    "train": TRAIN,
    "training": TRAIN,
    "trn": TRAIN,
    "valid": VALID,
    "validation": VALID,
    "val": VALID,
    "dev": VALID,
    "test": TEST,
    "testing": TEST,
    "tst": TEST,
    "eval": TEST,
    "evaluation": TEST,
    "holdout": TEST,
}
#: train, train_images, val-set, test1, TrainingData.
_NAME = re.compile(
    r"^(?:images?|imgs?|pictures?|photos?|data|set)?[\s_.-]*(?P<word>" + "|".join(_WORDS) + r")"
    r"(?:[\s_.-]*(?:images?|imgs?|pictures?|photos?|data|dataset|set|labels?|split|of|\d+))*$",
    re.IGNORECASE,
)
#: seg_train, cats-val; of CycleGAN's folders trainA and testA the letter is the class.
_PART = re.compile(
    r"^(?:(?P<before>.*[^\s_.-])[\s_.-]+)?(?P<word>(?i:" + "|".join(_WORDS) + r"))(?P<after>[A-Z]?)(?:[\s_.-]*\d+)?$"
)
SPLIT_COLUMNS = ("split", "set", "subset", "partition", "phase", "dataset_split", "data_set")
VALID_COLUMNS = ("is_valid", "is_validation", "valid", "is_val")
FOLD_COLUMNS = ("fold", "kfold", "cv_fold")


def split_of_name(name: str) -> str:
    """Return TRAIN, VALID or TEST for a folder or file of such a name (``val_images``); "" for any other."""
    match = _NAME.match(name)
    return _WORDS[match["word"].lower()] if match else ""


def splits_of_siblings(names: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Return the part of a split that each folder of one parent is for, and what else its name says.

    The split is one for training and at least one more of the same kind: ``train`` and ``val``; ``cats_train`` and
    ``cats_val``, where ``cats`` is said besides if there are other kinds. Empty where there is none: a class may be
    called ``train``, or ``toy_train``.
    """
    known = {name: split for name in sorted(names) if (split := split_of_name(name))}
    if TRAIN in known.values() and len(set(known.values())) > 1:
        return {name: (split, "") for name, split in known.items()}
    kinds: dict[str, dict[str, str]] = defaultdict(dict)
    for name in sorted(names):
        if match := _PART.match(name):
            kinds[(match["before"] or "") + match["after"]][name] = _WORDS[match["word"].lower()]
    whole = {kind for kind, found in kinds.items() if TRAIN in found.values() and len(set(found.values())) > 1}
    if len(whole) == 1:
        (kind,) = whole
        return {name: (split, "") for name, split in kinds[kind].items()}
    if not whole:
        return {}
    # Where the kinds are classes, one may be for training alone.
    return {name: (split, kind) for kind, found in kinds.items() if kind for name, split in found.items()}


def splits_of_files(names: Sequence[str]) -> list[str]:
    """Return the part of a split that each file is for, by its own name or that of its folder; "" for each where none.

    ``train.rec`` and ``val.rec``, ``pets_train.lst`` and ``pets_val.lst``, ``train/0.rec`` and ``val/0.rec``. Raises
    DataError where some say a part and others don't.
    """
    paths = [PurePosixPath(name) for name in names]
    for parts in ([path.stem for path in paths], [path.parent.name for path in paths]):
        matches = [_PART.match(part) for part in parts]
        splits = [
            split_of_name(part) or (_WORDS[match["word"].lower()] if match else "")
            for part, match in zip(parts, matches, strict=True)
        ]
        if TRAIN not in splits or len({*splits, ""}) < 3:
            continue
        if "" in splits:
            known, other = names[splits.index(TRAIN)], names[splits.index("")]
            raise DataError(
                f"{shown(known)} is a part of a split by its name, {shown(other)} is none; call each as what it is for "
                "(train, val or test), or leave it out"
            )
        return splits
    return [""] * len(names)


def _of_flag(value: str) -> str:
    known = {
        "true": VALID,
        "1": VALID,
        "yes": VALID,
        "1.0": VALID,
        "false": TRAIN,
        "0": TRAIN,
        "no": TRAIN,
        "0.0": TRAIN,
    }
    return known.get(value.lower(), "")


def read_column(column: str, values: Sequence[str], valid_fold: str, where: str) -> tuple[list[str], str]:
    """Return the split of each of ``values``, and a sentence that says how the column was understood.

    ``valid_fold``: which fold validates, "" for the lowest. ``where``: the table's name. Raises DataError for a value
    that says no split.
    """
    name = column.strip().lower()
    told = f"{shown(where)}, column {shown(column)}"
    if name in FOLD_COLUMNS:
        folds = sorted(set(values), key=lambda value: (len(value), value))
        chosen = valid_fold or folds[0]
        if chosen not in folds:
            raise DataError(
                f"{told} has no fold {valid_fold!r}; it has {', '.join(map(shown, folds[:10]))}: set valid_fold to one"
            )
        if len(folds) < 2:
            raise DataError(f"{told} has one fold only ({shown(chosen)}); remove the column, or give two or more folds")
        return [VALID if value == chosen else TRAIN for value in values], f"fold {shown(chosen)} of {told} validates"
    understand = _of_flag if name in VALID_COLUMNS else split_of_name
    result = [understand(value) for value in values]
    unknown = sorted({value for value, split in zip(values, result, strict=True) if not split})
    if unknown:
        kinds = "true or false" if name in VALID_COLUMNS else "train, valid or test"
        raise DataError(
            f"{told} has values that say no split: {', '.join(repr(value[:50]) for value in unknown[:5])}; "
            f"write {kinds} in each row"
        )
    return result, f"split by {told}"


def split_column(names: Sequence[str]) -> str:
    """Return the name of the column that says the split; "" where there is none."""
    for known in (*VALID_COLUMNS, *SPLIT_COLUMNS, *FOLD_COLUMNS):
        for name in names:
            if name.strip().lower() == known:
                return name
    return ""
