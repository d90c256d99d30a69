"""The files of /opt/ml/input/config, in which SageMaker describes a job: hyperparameters, hosts and input channels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastai_container.errors import UserError
from fastai_container.json_file import JsonError, parse_json, read_object
from fastai_container.sagemaker import HYPERPARAMETERS_FILE, INPUT_CHANNELS_FILE, RESOURCES_FILE


class ConfigFileError(UserError):
    """A file of the job's configuration that can't be used."""


def decoded_value(value: Any) -> Any:
    """A hyperparameter's value as its user gave it: from JSON, or as it is when it is none.

    SageMaker hands every value over as a string; the SDK's script mode JSON-encodes it first, a plain estimator does
    not.
    """
    try:
        return parse_json(value, "it")
    except (TypeError, JsonError):
        return value


def decoded(values: Mapping[str, Any]) -> dict[str, Any]:
    """Hyperparameters as sagemaker-training reads them."""
    return {name: decoded_value(value) for name, value in values.items()}


def read_hyperparameters(config: Path) -> dict[str, Any]:
    """Read hyperparameters.json, values still as they stand there; none where there is no such file.

    Raises UserError.
    """
    return read_object(config / HYPERPARAMETERS_FILE)


def read_input_channels(config: Path) -> dict[str, Any]:
    """Read inputdataconfig.json: a description of each channel; none where there is no such file. Raises UserError."""
    return read_object(config / INPUT_CHANNELS_FILE)


def read_resources(config: Path) -> dict[str, Any]:
    """Read resourceconfig.json: ``current_host``, ``hosts`` and what else it says.

    One host where there is no such file. Raises ConfigFileError.
    """
    path = config / RESOURCES_FILE
    if not path.exists():
        return {"current_host": "algo-1", "hosts": ["algo-1"]}
    try:
        content = read_object(path)
    except JsonError as error:
        raise ConfigFileError(f"{error}; it names current_host and hosts") from None
    hosts, current = content.get("hosts"), content.get("current_host")
    if not (isinstance(hosts, list) and all(isinstance(host, str) for host in hosts) and isinstance(current, str)):
        raise ConfigFileError(f"{path} must name current_host (a text) and hosts (a list of texts)")
    if current not in hosts:
        raise ConfigFileError(f"{path}: current_host {current!r} is not among its hosts ({', '.join(sorted(hosts))})")
    return content
