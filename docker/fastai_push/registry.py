"""The registry's HTTP API: which tags there are, and new ones.

https://distribution.github.io/distribution/spec/api/ describes it; ECR speaks it with the password of its own API.
"""

from __future__ import annotations

import hashlib
import json
import os
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

from fastai_local.errors import LocalError

LOOPBACK = ("127.0.0.1", "localhost")
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
# An image's parts have the same bytes in both formats, under other names.
_DOCKER_NAMES = {
    OCI_MANIFEST: DOCKER_MANIFEST,
    "application/vnd.oci.image.config.v1+json": "application/vnd.docker.container.image.v1+json",
    "application/vnd.oci.image.layer.v1.tar+gzip": "application/vnd.docker.image.rootfs.diff.tar.gzip",
}
_ACCEPTED = (
    DOCKER_MANIFEST,
    OCI_MANIFEST,
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.index.v1+json",
)
ANSWER_SECONDS = 60


@dataclass(frozen=True)
class Manifest:
    """A manifest as the registry holds it: its digest is that of these very bytes."""

    media_type: str
    body: bytes

    @property
    def digest(self) -> str:
        return "sha256:" + hashlib.sha256(self.body).hexdigest()

    def as_docker(self) -> Manifest:
        """Return the same image in Docker's format, which SageMaker asks for; engines with containerd's store push
        OCI's. Raise ``LocalError`` for a manifest of several images."""
        if self.media_type == DOCKER_MANIFEST:
            return self
        content = json.loads(self.body)
        parts = [content.get("config") or {}, *content.get("layers", [])]
        if self.media_type != OCI_MANIFEST or any(part.get("mediaType") not in _DOCKER_NAMES for part in parts):
            raise LocalError(
                f"the engine pushed a {self.media_type}, which SageMaker doesn't take: use Docker's builder"
            )
        for part in parts:
            part["mediaType"] = _DOCKER_NAMES[part["mediaType"]]
        content["mediaType"] = DOCKER_MANIFEST
        content.pop("annotations", None)
        return Manifest(DOCKER_MANIFEST, json.dumps(content, indent=3).encode())


class Registry:
    """A registry, as the user AWS. Every method raises ``LocalError`` when it can't be reached or refuses."""

    def __init__(self, address: str, authorization: str) -> None:
        """``authorization`` is user:password in base64, as ECR's API gives it."""
        self.address = address
        self.authorization = authorization
        loopback = address.partition(":")[0] in LOOPBACK
        # Docker, too, speaks plain HTTP with a registry of the machine itself, and with no other.
        self.url = f"{'http' if loopback else 'https'}://{address}"
        context = ssl.create_default_context(cafile=os.environ.get("AWS_CA_BUNDLE") or None)
        handlers: list[Any] = [urllib.request.HTTPSHandler(context=context)]
        if loopback:
            handlers.append(urllib.request.ProxyHandler({}))
        self._open = urllib.request.build_opener(*handlers).open

    def manifest(self, repository: str, tag: str) -> Manifest | None:
        """Return what a tag is; None when the repository has no such tag."""
        accept = {"Accept": ", ".join(_ACCEPTED)}
        status, headers, body = self._call("GET", f"/v2/{repository}/manifests/{tag}", headers=accept)
        if status == 404:
            return None
        self._expect(status, body, (200,), f"reading {repository}:{tag}", "ecr:BatchGetImage")
        return Manifest(headers.get("Content-Type", "").partition(";")[0].strip(), body)

    def tag(self, repository: str, tag: str, manifest: Manifest) -> None:
        """Set a tag to an image that the repository holds."""
        headers = {"Content-Type": manifest.media_type}
        path = f"/v2/{repository}/manifests/{tag}"
        status, _, body = self._call("PUT", path, headers=headers, data=manifest.body)
        self._expect(status, body, (200, 201), f"tagging {repository}:{tag}", "ecr:PutImage")

    def check_upload(self, repository: str) -> None:
        """Start an upload and give it up, so that a missing right shows before anything is built."""
        status, headers, body = self._call("POST", f"/v2/{repository}/blobs/uploads/", data=b"")
        self._expect(status, body, (202,), f"an upload to {repository}", "ecr:InitiateLayerUpload")
        location = headers.get("Location", "")
        path = location.removeprefix(self.url)
        if path.startswith("/"):  # ECR forgets uploads by itself, whatever it says to this
            self._call("DELETE", path)

    def _call(
        self, method: str, path: str, *, headers: dict[str, str] | None = None, data: bytes | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        sent = {"Authorization": f"Basic {self.authorization}"} | (headers or {})
        request = urllib.request.Request(self.url + path, data=data, headers=sent, method=method)  # noqa: S310
        try:
            with self._open(request, timeout=ANSWER_SECONDS) as answer:
                return answer.status, dict(answer.headers), answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, dict(error.headers), error.read()
        except OSError as error:
            reason = getattr(error, "reason", None) or error
            raise LocalError(f"the registry {self.address} can't be reached: {reason}") from None

    def _expect(self, status: int, body: bytes, wanted: tuple[int, ...], doing: str, right: str) -> None:
        if status in wanted:
            return
        why = _message(body)
        if status == 401:
            raise LocalError(
                f"the registry {self.address} did not accept the login ({why}): it takes other credentials"
            )
        if status in (403, 405):
            raise LocalError(f"the registry {self.address} refused {doing} ({why}): the credentials need {right}")
        raise LocalError(f"{doing} failed: {self.address} answered {status} ({why})")


def _message(body: bytes) -> str:
    """Return the reason in the API's error format, or the beginning of whatever it is."""
    try:
        first = json.loads(body)["errors"][0]
        return str(first.get("message") or first.get("code"))
    except (ValueError, LookupError, TypeError, AttributeError):
        return body[:200].decode(errors="replace").strip() or "without a reason"
