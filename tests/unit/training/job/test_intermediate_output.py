from __future__ import annotations

import pytest

from fastai_training.job import intermediate_output


@pytest.mark.parametrize(
    ("hyperparameters", "location"),
    [
        ({}, ""),
        ({"sagemaker_s3_output": "s3://bucket/job"}, "s3://bucket/job"),
        ({"sagemaker_s3_output": '"s3://bucket/job"'}, "s3://bucket/job"),
        ({"sagemaker_s3_output": "null"}, ""),
        ({"sagemaker_s3_output": None}, ""),
    ],
)
def test_the_sdk_says_where_output_goes(hyperparameters, location):
    assert intermediate_output.output_location(hyperparameters) == location


@pytest.mark.parametrize("location", ["", "file:///tmp/x", "/tmp/x"])
def test_nothing_is_started_where_there_is_nothing_to_copy_to(location):
    assert intermediate_output.start(location) is None
    intermediate_output.finish(None)
