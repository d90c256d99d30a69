from __future__ import annotations

import json

import pytest

from fastai_local.errors import LocalError
from fastai_push import registry as subject

OCI = {
    "mediaType": subject.OCI_MANIFEST,
    "config": {"mediaType": "application/vnd.oci.image.config.v1+json"},
    "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": "sha256:0"}],
    "annotations": {"a": "b"},
}


def test_an_oci_manifest_becomes_dockers() -> None:
    made = subject.Manifest(subject.OCI_MANIFEST, json.dumps(OCI).encode()).as_docker()
    content = json.loads(made.body)
    assert made.media_type == content["mediaType"] == subject.DOCKER_MANIFEST
    assert content["layers"][0]["digest"] == "sha256:0"
    assert "oci" not in made.body.decode()
    assert made.as_docker() is made


def test_what_sagemaker_does_not_take_is_an_error() -> None:
    with pytest.raises(LocalError, match="SageMaker doesn't take"):
        subject.Manifest("application/vnd.oci.image.index.v1+json", b'{"manifests": []}').as_docker()


@pytest.mark.parametrize(
    ("body", "reason"),
    [(b'{"errors": [{"message": "no"}]}', "no"), (b"<html>", "<html>"), (b"", "without a reason")],
)
def test_the_reason_of_a_refusal(body: bytes, reason: str) -> None:
    assert subject._message(body) == reason
