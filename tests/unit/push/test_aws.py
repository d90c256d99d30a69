from __future__ import annotations

import pytest

pytest.importorskip("boto3")

from fastai_local.errors import UsageError
from fastai_push.aws import MOVING, Aws, may_move


@pytest.mark.parametrize(
    ("region", "address"),
    [
        ("eu-west-1", "123456789012.dkr.ecr.eu-west-1.amazonaws.com"),
        ("cn-northwest-1", "123456789012.dkr.ecr.cn-northwest-1.amazonaws.com.cn"),
        ("us-gov-west-1", "123456789012.dkr.ecr.us-gov-west-1.amazonaws.com"),
        ("us-iso-east-1", "123456789012.dkr.ecr.us-iso-east-1.c2s.ic.gov"),
        ("eu-west-99", "123456789012.dkr.ecr.eu-west-99.amazonaws.com"),  # newer than the data: as its partition
    ],
)
def test_the_registry_of_each_partition(region: str, address: str) -> None:
    assert Aws(None, region, "123456789012").registry == address


@pytest.mark.parametrize("region", ["europe", "eu_west_1", "-"])
def test_what_is_no_region(region: str) -> None:
    with pytest.raises(UsageError, match="no partition"):
        _ = Aws(None, region, "123456789012").registry


def test_which_tags_move() -> None:
    filters = [{"filterType": "WILDCARD", "filter": pattern} for pattern in MOVING]
    ours = {"imageTagMutability": "IMMUTABLE_WITH_EXCLUSION", "imageTagMutabilityExclusionFilters": filters}
    for tag in ("cpu", "gpu", "cpu-arm64", "dirty-cpu", "dirty-serving"):
        assert may_move(ours, tag)
        assert not may_move({"imageTagMutability": "IMMUTABLE"}, tag)
        assert may_move({"imageTagMutability": "MUTABLE"}, tag)
    for tag in ("0.1.0-cpu", "c0ffee123456-cpu", "0.1.0-cpu-arm64", "v1"):
        assert not may_move(ours, tag)
    frozen = [{"filterType": "WILDCARD", "filter": "v*"}]
    but = {"imageTagMutability": "MUTABLE_WITH_EXCLUSION", "imageTagMutabilityExclusionFilters": frozen}
    assert may_move(but, "cpu")
    assert not may_move(but, "v1")
