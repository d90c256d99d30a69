from __future__ import annotations

import pytest

from fastai_local.errors import UsageError
from fastai_push.options import Options, parse


def test_nothing_given_is_the_defaults() -> None:
    assert parse([], {}) == Options()


def test_the_environment_stands_in_for_device_and_registry() -> None:
    options = parse([], {"DEVICE": "gpu", "ECR_REGISTRY": "host:5000"})
    assert (options.device, options.registry) == ("gpu", "host:5000")
    assert parse(["--device", "cpu"], {"DEVICE": "gpu"}).device == "cpu"


def test_platforms_are_split_and_named_once() -> None:
    options = parse(["--platform", "linux/amd64, linux/arm64,linux/amd64"], {})
    assert options.platforms == ("linux/amd64", "linux/arm64")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--account", "123"], "12 digits"),
        (["--platform", "windows/amd64"], "linux/amd64"),
        (["--tag", "-x"], "--tag"),
        (["--repository", "Upper"], "lower case"),
        (["--nonsense"], "--help lists the options"),
    ],
)
def test_a_mistyped_option_is_an_error_with_the_rule(arguments: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse(arguments, {})
