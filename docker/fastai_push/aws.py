"""AWS's own API, by boto3: whose account, which registry, its repositories, a password for it."""

from __future__ import annotations

import contextlib
import fnmatch
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import boto3
import botocore.exceptions as failures
import botocore.session
from botocore.config import Config

from fastai_local.errors import LocalError, UsageError
from fastai_local.process import say, warn

#: Tags that move from image to image; all others never do. A filter without * is one tag's name, and a pattern is
#: that of the whole tag (https://docs.aws.amazon.com/AmazonECR/latest/userguide/image-tag-mutability.html).
MOVING = ("cpu*", "gpu*", "dirty-*")
_CONFIG = Config(connect_timeout=10, read_timeout=60, retries={"mode": "standard", "max_attempts": 3})
NO_CREDENTIALS = (
    "no AWS credentials were found: `aws configure` or `aws sso login` sets them up, AWS_PROFILE names a profile, or "
    "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
)
_INVALID = ("InvalidClientTokenId", "UnrecognizedClientException", "SignatureDoesNotMatch", "InvalidSignatureException")


@contextlib.contextmanager
def explained(doing: str) -> Iterator[None]:
    """Turn AWS's errors into a ``LocalError`` that says what to do."""
    try:
        yield
    except (failures.NoCredentialsError, failures.PartialCredentialsError, failures.CredentialRetrievalError) as error:
        more = "" if isinstance(error, failures.NoCredentialsError) else f" ({error})"
        raise LocalError(NO_CREDENTIALS + more) from None
    except (failures.SSOError, failures.TokenRetrievalError) as error:
        raise LocalError(f"AWS's sign-on has run out ({error}): run `aws sso login`") from None
    except failures.ProfileNotFound as error:
        raise LocalError(f"{error}: AWS_PROFILE names no profile of ~/.aws/config") from None
    except failures.ClientError as error:
        code = error.response["Error"]["Code"]
        message = " ".join(error.response["Error"].get("Message", "").split())
        if code.startswith("ExpiredToken"):
            raise LocalError("the AWS credentials have expired: get new ones (`aws sso login`, or a new key)") from None
        if code in _INVALID:
            raise LocalError(f"AWS doesn't know these credentials ({code}): check AWS_PROFILE and the keys") from None
        if code.startswith(("AccessDenied", "UnauthorizedOperation", "403")):
            raise LocalError(
                f"AWS refused {doing}: {message} The credentials need more rights; build_and_push.sh --help lists them"
            ) from None
        raise LocalError(f"{doing} failed: {code}: {message}") from None
    except (failures.EndpointConnectionError, failures.ConnectionError, failures.HTTPClientError) as error:
        raise LocalError(f"AWS can't be reached ({error}): check the network and the region's name") from None
    except failures.BotoCoreError as error:
        raise LocalError(f"{doing} failed: {error}") from None


def domain_suffix(region: str) -> str:
    """Return the end of host names in a region's partition: China's differs, and so do the isolated ones.

    Raise ``UsageError`` for what is no region's name.
    """
    session = botocore.session.get_session()
    try:
        name = session.get_partition_for_region(region)
    except failures.UnknownRegionError:
        raise UsageError(f"--region {region}: no partition of AWS has a region of such a name") from None
    partitions = {item["id"]: item["outputs"] for item in session.get_data("partitions")["partitions"]}
    return str(partitions[name]["dnsSuffix"])


@dataclass(frozen=True)
class Aws:
    """A region of an account, with the credentials that were found."""

    session: Any  # boto3.Session
    region: str
    account: str

    @property
    def registry(self) -> str:
        """ECR's address for this account and region."""
        return f"{self.account}.dkr.ecr.{self.region}.{domain_suffix(self.region)}"

    def _ecr(self) -> Any:
        return self.session.client("ecr", region_name=self.region, config=_CONFIG)

    def authorization(self) -> str:
        """Return user and password of the registry, as ``Authorization: Basic`` takes them; they last for 12 hours."""
        with explained("ecr:GetAuthorizationToken"):
            return str(self._ecr().get_authorization_token()["authorizationData"][0]["authorizationToken"])

    def repository(self, name: str) -> dict[str, Any] | None:
        """Return what ECR says of a repository; None when there is none."""
        with explained("ecr:DescribeRepositories"):
            ecr = self._ecr()
            try:
                found = ecr.describe_repositories(registryId=self.account, repositoryNames=[name])["repositories"]
            except ecr.exceptions.RepositoryNotFoundException:
                return None
        return dict(found[0])

    def create_repository(self, name: str) -> dict[str, Any]:
        """Create a repository, scanned on push; its tags are immutable but for the moving ones."""
        with explained(f"ecr:CreateRepository {name}"):
            ecr = self._ecr()
            try:
                made = ecr.create_repository(
                    registryId=self.account,
                    repositoryName=name,
                    imageScanningConfiguration={"scanOnPush": True},
                    imageTagMutability="IMMUTABLE_WITH_EXCLUSION",
                    imageTagMutabilityExclusionFilters=[
                        {"filterType": "WILDCARD", "filter": pattern} for pattern in MOVING
                    ],
                )["repository"]
            except ecr.exceptions.RepositoryAlreadyExistsException:  # somebody was faster
                return self.repository(name) or {}
        return dict(made)


def may_move(repository: dict[str, Any], tag: str) -> bool:
    """Return whether ECR lets a tag of this repository go to another image."""
    mutability = str(repository.get("imageTagMutability", "MUTABLE"))
    filters = [item["filter"] for item in repository.get("imageTagMutabilityExclusionFilters") or []]
    excluded = mutability.endswith("_WITH_EXCLUSION") and any(fnmatch.fnmatchcase(tag, item) for item in filters)
    return mutability.startswith("MUTABLE") != excluded


def connect(region: str | None, account: str | None) -> Aws:
    """Return the account of the credentials (or the one named) in a region. Raise ``LocalError``, ``UsageError``."""
    with explained("reading AWS's configuration"):
        # Only newer releases of boto3 read AWS_REGION themselves, which all others of AWS's tools do.
        session = boto3.Session(region_name=region or os.environ.get("AWS_REGION") or None)
        found = session.region_name
    if not found:
        raise LocalError("no region: pass --region eu-west-1 or the like, or set AWS_REGION")
    domain_suffix(found)
    with explained("sts:GetCallerIdentity"):
        identity = session.client("sts", region_name=found, config=_CONFIG).get_caller_identity()
    say(f"push: as {identity['Arn']}, region {found}")
    return Aws(session, found, account or identity["Account"])


def ensure_repositories(aws: Aws, names: Sequence[str], dry_run: bool) -> dict[str, dict[str, Any]]:
    """Return what ECR says of each repository; those that are absent are created, if it is not a dry run."""
    found: dict[str, dict[str, Any]] = {}
    for name in names:
        repository = aws.repository(name)
        if repository is None and dry_run:
            say(f"push: would create the repository {name}")
            repository = {}
        elif repository is None:
            repository = aws.create_repository(name)
            say(f"push: created the repository {name}, scanned on push, its tags immutable but for {', '.join(MOVING)}")
        elif repository.get("imageTagMutability") == "MUTABLE":
            warn(f"the tags of the repository {name} are mutable: others than this command could move a version")
        found[name] = repository
    return found
