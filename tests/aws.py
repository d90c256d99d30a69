"""The one fake: moto's server stands for AWS's own APIs (S3, STS, ECR). Everything that talks to it is real."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

REGION = "eu-west-1"
#: moto's own account, which it gives to any access key.
ACCOUNT = "123456789012"


@dataclass(frozen=True)
class FakeAws:
    """A running moto server. ``port`` listens on every address, so that containers reach it by their gateway."""

    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def environment(self, **more: str) -> Mapping[str, str]:
        """What turns boto3, the AWS CLI and the SDKs to this server, and away from the machine's own account."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": REGION,
            "AWS_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        } | more


@contextmanager
def fake_aws_server() -> Iterator[FakeAws]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="0.0.0.0", port=0, verbose=False)
    server.start()
    try:
        yield FakeAws(server.get_host_and_port()[1])
    finally:
        server.stop()
