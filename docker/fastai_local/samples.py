"""Sample pictures to train on, for those who have none at hand."""

from __future__ import annotations

import json
from pathlib import Path

from fastai_local import contract
from fastai_local.errors import LocalError
from fastai_local.process import say
from fastai_local.runtime import Runtime

#: Hyperparameters for pictures of the user's own, which nothing is known of.
OWN_DATA = {"arch": "efficientnet_lite0", "epochs": "2"}


def sample_data(runtime: Runtime, folder: Path) -> tuple[Path, dict[str, str]]:
    """Get pictures to train on; return their folder and hyperparameters that suit them. Raise ``LocalError``."""
    folder.mkdir(parents=True, exist_ok=True)
    code, last = runtime.get_sample_data(folder)
    if code != 0:
        raise LocalError(f"no sample data (exit code {code}, see above): pass DATA=your/pictures")
    try:
        found = json.loads(last)
        place, hyperparameters = Path(found["data"]), {k: str(v) for k, v in found["hyperparameters"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise LocalError(f"{contract.SAMPLE_DATA_MODULE} printed {last!r} instead of JSON with its data") from error
    say(f"demo: the data set is {found.get('name', 'a sample')}")
    return runtime.path_here(place, folder), hyperparameters
