"""A batch transform job: SageMaker's settings for one, and a folder of pictures sent as its agent does."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from tests.contract.conftest import Job
from tests.waiting import PATIENCE

pytestmark = [pytest.mark.engine, pytest.mark.pets]

JOB = {
    "SAGEMAKER_BATCH": "true",
    "SAGEMAKER_MAX_PAYLOAD_IN_MB": "20",
    "SAGEMAKER_BATCH_STRATEGY": "SingleRecord",
    "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS": "0",
}


def test_a_folder_of_pictures(start_endpoint, pets_job: Job, pets: Path):
    endpoint = start_endpoint(pets_job.model, environment=JOB)
    parameters = requests.get(f"{endpoint.url}/execution-parameters", timeout=PATIENCE).json()
    assert parameters["MaxPayloadInMB"] == 20
    assert parameters["BatchStrategy"] == "SingleRecord"
    concurrent = parameters["MaxConcurrentTransforms"]
    paths = sorted(pets.glob("*.jpg"))[:300]
    session = requests.Session()
    session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=concurrent))

    def transform(path: Path) -> str:
        headers = {"Content-Type": "image/jpeg", "Accept": "application/jsonlines"}
        answer = session.post(f"{endpoint.url}/invocations", data=path.read_bytes(), headers=headers, timeout=PATIENCE)
        assert answer.status_code == 200, answer.text
        assert answer.text.endswith("\n")
        return answer.json()["class"]

    with ThreadPoolExecutor(concurrent) as pool:
        found = list(pool.map(transform, paths))
    right = sum(name == path.name.rpartition("_")[0] for name, path in zip(found, paths, strict=True))
    assert right / len(paths) > 0.8
    # As large as the job allows, as many at once as the answer allows.
    large = paths[0].read_bytes()
    large += b"\0" * (20 * 1024 * 1024 - len(large))
    headers = {"Content-Type": "image/jpeg"}
    with ThreadPoolExecutor(concurrent) as pool:
        answers = list(
            pool.map(
                lambda _: (
                    session.post(
                        f"{endpoint.url}/invocations", data=large, headers=headers, timeout=PATIENCE
                    ).status_code
                ),
                range(concurrent),
            )
        )
    assert set(answers) == {200}
