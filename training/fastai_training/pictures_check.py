"""Look at every picture once before training: an unreadable one costs a line in a list, not the job at epoch 3."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from fastai_container.pictures import PictureError, open_picture
from fastai_training.labels import DataError, Example, Examples

#: More unreadable pictures than this share of all, and the data set is not what the user thinks it is.
MOST_UNREADABLE = 0.5


def _problem(path: Path) -> str | None:
    try:
        # The smallest scaled decode: it still reads the whole file, so one cut short is found.
        open_picture(path, side=1)
    except PictureError as error:
        return str(error)
    return None


def leave_out_unreadable(examples: Examples, *, strict: bool, processes: int) -> Examples:
    """The examples whose picture decodes; the others are added to ``skipped``.

    Raises DataError when ``strict`` and one is unreadable, or when too few are left to train on.
    """
    paths = [item.path for item in examples.items]
    if processes > 1 and len(paths) > 64:
        with ProcessPoolExecutor(processes) as pool:
            problems = list(pool.map(_problem, paths, chunksize=32))
    else:
        problems = [_problem(path) for path in paths]
    good: list[Example] = []
    bad: list[tuple[str, str]] = []
    for item, problem in zip(examples.items, problems, strict=True):
        if problem is None:
            good.append(item)
        else:
            bad.append((str(item.path.relative_to(examples.root)), problem))
    result = Examples(examples.root, good, examples.source, examples.skipped + bad)
    named = "; ".join(f"{name}: {why}" for name, why in bad[:3])
    if bad and strict:
        raise DataError(f"{len(bad)} of {len(paths)} pictures can't be read and strict is set: {named}")
    if len(bad) > MOST_UNREADABLE * len(paths) or len(result.vocab) < 2:
        raise DataError(
            f"{len(bad)} of {len(paths)} pictures can't be read, too few are left to train on: {named}; "
            "check how the files were copied"
        )
    return result
