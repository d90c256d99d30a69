"""build_and_push.sh against a real registry. AWS's own API is moto's."""

from __future__ import annotations

import base64
import json
import urllib.request
from collections.abc import Callable
from pathlib import Path

import boto3
import pytest
from moto.core.authorization import enable_iam_authentication

from fastai_push.registry import DOCKER_MANIFEST, OCI_MANIFEST, Manifest, Registry
from tests.aws import FakeAws
from tests.contract.conftest import CLOSED, SERVING_IMAGE
from tests.push.conftest import PASSWORD, Checkout, RunningRegistry, running_registry

pytestmark = pytest.mark.engine

KINDS = ("serving", "training")
LOGIN = {"username": "AWS", "password": PASSWORD}


@pytest.fixture
def checkout(new_checkout: Callable[..., Checkout], registry: RunningRegistry, ecr) -> Checkout:
    return new_checkout(registry.address)


def client(aws: FakeAws, service: str):
    keys = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
    return boto3.client(service, endpoint_url=aws.url, region_name="eu-west-1", **keys)


@pytest.fixture
def ecr(fake_aws: FakeAws):
    """ECR's own API; every repository is removed after the test."""
    client_ = client(fake_aws, "ecr")
    yield client_
    for repository in client_.describe_repositories()["repositories"]:
        client_.delete_repository(repositoryName=repository["repositoryName"], force=True)


def tags(registry: RunningRegistry, kind: str) -> dict[str, str]:
    """The digest of each tag, as the registry itself says."""
    header = {"Authorization": "Basic " + base64.b64encode(f"AWS:{PASSWORD}".encode()).decode()}
    url = f"http://{registry.address}/v2/fastai-sagemaker-{kind}"
    names = json.load(urllib.request.urlopen(urllib.request.Request(f"{url}/tags/list", headers=header)))["tags"]
    header["Accept"] = "application/vnd.docker.distribution.manifest.v2+json"
    digests = {}
    for name in names:
        with urllib.request.urlopen(urllib.request.Request(f"{url}/manifests/{name}", headers=header)) as answer:
            digests[name] = answer.headers["Docker-Content-Digest"]
            assert answer.headers["Content-Type"] == header["Accept"], "SageMaker takes Docker's format alone"
    return digests


def test_first_push_creates_builds_tags_and_prints_the_uris_last(checkout, registry, ecr, engine):
    done = checkout.push()
    assert done.returncode == 0, done.stdout + done.stderr
    uris = [f"{registry.address}/fastai-sagemaker-{kind}:1.2.3-cpu" for kind in KINDS]
    assert done.stdout.splitlines()[-2:] == uris
    commit = checkout.commit[:12]
    for kind in KINDS:
        found = tags(registry, kind)
        assert set(found) == {"1.2.3-cpu", f"{commit}-cpu", "cpu"}
        assert len(set(found.values())) == 1, "every tag is the same image"
        pulled = engine.images.pull(f"{registry.address}/fastai-sagemaker-{kind}", "1.2.3-cpu", auth_config=LOGIN)
        assert pulled.labels["org.opencontainers.image.revision"] == checkout.commit
    for repository in ecr.describe_repositories()["repositories"]:
        assert repository["imageScanningConfiguration"] == {"scanOnPush": True}
        assert repository["imageTagMutability"] == "IMMUTABLE_WITH_EXCLUSION"
        filters = [item["filter"] for item in repository["imageTagMutabilityExclusionFilters"]]
        assert filters == ["cpu*", "gpu*", "dirty-*"]
    # the password is nowhere: not in what was printed, not in the user's home
    assert PASSWORD not in done.stdout + done.stderr
    assert base64.b64encode(f"AWS:{PASSWORD}".encode()).decode() not in done.stdout + done.stderr
    assert not list(Path(checkout.environment["HOME"]).rglob("config.json"))


def test_second_push_does_no_work(checkout, registry):
    assert checkout.push().returncode == 0
    writes = registry.writes()
    assert any(write.startswith("PUT ") for write in writes), "the log is read wrongly"
    again = checkout.push()
    assert again.returncode == 0, again.stdout + again.stderr
    assert registry.writes() == writes
    assert "build:" not in again.stdout
    assert "nothing to do" in again.stdout
    assert again.stdout.splitlines()[-1] == f"{registry.address}/fastai-sagemaker-training:1.2.3-cpu"


def test_what_is_there_under_the_commit_is_tagged_without_building(checkout, registry):
    # as after a push that was cut short before the version's tag
    assert checkout.push("--tag", "first").returncode == 0
    before = tags(registry, "serving")
    assert "1.2.3-cpu" not in before
    done = checkout.push()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "build:" not in done.stdout
    assert tags(registry, "serving") == before | {"1.2.3-cpu": before["first"]}


def test_a_new_commit_moves_the_device_tag_and_no_other(checkout, registry):
    assert checkout.push("--tag", "v1").returncode == 0
    before = tags(registry, "serving")
    checkout.change("two")
    done = checkout.push("--tag", "v2")
    assert done.returncode == 0, done.stdout + done.stderr
    after = tags(registry, "serving")
    assert after["cpu"] == after["v2"] == after[f"{checkout.commit[:12]}-cpu"] != before["cpu"]
    assert {name: after[name] for name in before if name != "cpu"} == {k: v for k, v in before.items() if k != "cpu"}


def test_a_version_that_is_another_commits_stops_before_building(checkout, registry):
    assert checkout.push().returncode == 0
    before = tags(registry, "serving")
    checkout.change("two")
    done = checkout.push()
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "raise the version in container/fastai_container/__init__.py" in done.stderr
    assert "build:" not in done.stdout
    assert tags(registry, "serving") == before


def test_plain_immutable_repositories_keep_their_device_tag(checkout, registry, ecr):
    for kind in KINDS:
        ecr.create_repository(repositoryName=f"fastai-sagemaker-{kind}", imageTagMutability="IMMUTABLE")
    assert checkout.push("--tag", "v1").returncode == 0
    before = tags(registry, "serving")["cpu"]
    checkout.change("two")
    done = checkout.push("--tag", "v2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "serving:cpu stays what it was" in done.stderr
    assert tags(registry, "serving")["cpu"] == before


def test_a_dirty_tree_is_no_release(checkout, registry):
    checkout.change("changed", commit=False)
    done = checkout.push()
    assert done.returncode == 1
    assert "--allow-dirty" in done.stderr
    assert registry.writes() == []
    allowed = checkout.push("--allow-dirty")
    assert allowed.returncode == 0, allowed.stdout + allowed.stderr
    assert set(tags(registry, "serving")) == {"dirty-cpu"}
    assert allowed.stdout.splitlines()[-1].endswith("training:dirty-cpu")
    checkout.change("changed again", commit=False)
    before = tags(registry, "serving")
    assert checkout.push("--allow-dirty").returncode == 0
    assert tags(registry, "serving") != before, "it moves with the tree"


def test_own_weights_are_not_taken_for_the_plain_commit(checkout, registry):
    assert checkout.push("--tag", "plain").returncode == 0
    weights = checkout.folder / "docker" / "weights"
    weights.mkdir()
    (weights / "resnet34.safetensors").write_bytes(b"weights")
    (checkout.folder / "content").chmod(0o600)  # git doesn't see it, the image's layer does
    done = checkout.push("--tag", "mine")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "build:" in done.stdout
    found = tags(registry, "training")
    assert found["mine"] != found["plain"]


def test_dry_run_changes_nothing(checkout, registry, ecr):
    done = checkout.push("--dry-run")
    assert done.returncode == 0, done.stdout + done.stderr
    assert registry.writes() == []
    assert ecr.describe_repositories()["repositories"] == []
    assert "build:" not in done.stdout
    assert "would create the repository fastai-sagemaker-serving" in done.stdout
    for tag in (f"{checkout.commit[:12]}-cpu", "1.2.3-cpu", "cpu"):
        assert f"{registry.address}/fastai-sagemaker-serving:{tag}\n" in done.stdout
    assert done.stdout.splitlines()[-1] == f"{registry.address}/fastai-sagemaker-training:1.2.3-cpu"


def test_other_names(checkout, registry, ecr):
    done = checkout.push("--repository", "team/pets", "--device", "gpu", BASE_IMAGE="debian:bookworm-slim")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == f"{registry.address}/team/pets-training:1.2.3-gpu"
    names = {repository["repositoryName"] for repository in ecr.describe_repositories()["repositories"]}
    assert names == {"team/pets-serving", "team/pets-training"}


def test_the_address_is_ecrs_own_without_another(new_checkout, engine, ecr):
    # nothing of it can be reached from here, which must be said as such
    done = new_checkout(None).push("--dry-run", "--account", "111122223333")
    assert done.returncode == 1
    assert "111122223333.dkr.ecr.eu-west-1.amazonaws.com can't be reached" in done.stderr


def test_the_serving_image_goes_there_and_back(new_checkout, registry, ecr, engine):
    checkout = new_checkout(registry.address, base=SERVING_IMAGE)
    done = checkout.push()
    assert done.returncode == 0, done.stdout + done.stderr
    repository = f"{registry.address}/fastai-sagemaker-serving"
    for tag in engine.images.get(f"{repository}:{checkout.commit[:12]}-cpu").tags:
        if tag.startswith(registry.address):
            engine.images.remove(tag)
    image = engine.images.pull(repository, "cpu", auth_config=LOGIN)
    assert image.attrs["Config"]["Labels"]["org.opencontainers.image.title"] == "fastai-sagemaker-serving"
    # a multi-model endpoint is ready without a model
    script = (
        "import subprocess, time, urllib.request as u\n"
        "server = subprocess.Popen(['/opt/venv/bin/python3', '-P', '-m', 'fastai_sagemaker', 'serve'])\n"
        "for _ in range(300):\n"
        "    try: print('answered', u.urlopen('http://127.0.0.1:8080/ping').status); break\n"
        "    except OSError: time.sleep(0.2)\n"
        "server.terminate(); server.wait()\n"
    )
    options = {"environment": {"SAGEMAKER_MULTI_MODEL": "true"}, "entrypoint": "", "remove": True}
    log = engine.containers.run(image.id, ["python3", "-c", script], network_mode="none", **options, **CLOSED)
    assert "answered 200" in log.decode()


def test_an_image_in_ocis_format_is_tagged_in_dockers(checkout, registry, engine):
    assert checkout.push().returncode == 0
    api = Registry(registry.address, base64.b64encode(f"AWS:{PASSWORD}".encode()).decode())
    plain = api.manifest("fastai-sagemaker-serving", "cpu")
    content = json.loads(plain.body)
    content["mediaType"] = OCI_MANIFEST
    content["config"]["mediaType"] = "application/vnd.oci.image.config.v1+json"
    for layer in content["layers"]:
        layer["mediaType"] = "application/vnd.oci.image.layer.v1.tar+gzip"
    api.tag("fastai-sagemaker-serving", "dirty-cpu", Manifest(OCI_MANIFEST, json.dumps(content).encode()))
    oci = api.manifest("fastai-sagemaker-serving", "dirty-cpu")
    assert oci.media_type == OCI_MANIFEST
    assert oci.as_docker().media_type == DOCKER_MANIFEST
    assert json.loads(oci.as_docker().body) == json.loads(plain.body)
    api.tag("fastai-sagemaker-serving", "cpu-again", oci.as_docker())
    again = engine.images.pull(f"{registry.address}/fastai-sagemaker-serving", "cpu-again", auth_config=LOGIN)
    assert again.id == engine.images.get(f"{registry.address}/fastai-sagemaker-serving:{checkout.commit[:12]}-cpu").id


def stops(done, *words: str) -> None:
    """One line on standard error that says why, exit code 1 or 2, and nothing built."""
    assert done.returncode in (1, 2), done.stdout + done.stderr
    assert done.stderr.startswith("error: "), done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    for word in words:
        assert word in done.stderr
    assert "build:" not in done.stdout


def test_without_credentials(checkout, registry):
    done = checkout.push(without=("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"))
    stops(done, "no AWS credentials", "aws configure")
    assert registry.writes() == []


@pytest.mark.parametrize(
    ("allowed", "refused"),
    [
        (["sts:*"], "ecr:GetAuthorizationToken"),
        (["sts:*", "ecr:GetAuthorizationToken"], "ecr:DescribeRepositories"),
        (["sts:*", "ecr:GetAuthorizationToken", "ecr:DescribeRepositories"], "ecr:CreateRepository"),
    ],
)
def test_without_the_right(checkout, registry, fake_aws, allowed, refused):
    iam = client(fake_aws, "iam")
    iam.create_user(UserName="pusher")
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": allowed, "Resource": "*"}]}
    iam.put_user_policy(UserName="pusher", PolicyName="few", PolicyDocument=json.dumps(policy))
    key = iam.create_access_key(UserName="pusher")["AccessKey"]
    keys = {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}
    try:
        with enable_iam_authentication():
            done = checkout.push(**keys)
            wrong = checkout.push(**keys | {"AWS_SECRET_ACCESS_KEY": "wrong"})
    finally:
        iam.delete_access_key(UserName="pusher", AccessKeyId=key["AccessKeyId"])
        iam.delete_user_policy(UserName="pusher", PolicyName="few")
        iam.delete_user(UserName="pusher")
    stops(done, "AWS refused", refused, "--help")
    stops(wrong, "AWS doesn't know these credentials")
    assert registry.writes() == []


def test_without_a_region(checkout):
    stops(checkout.push(without=("AWS_REGION", "AWS_DEFAULT_REGION")), "no region", "--region")


def test_with_no_region_of_that_name(checkout):
    stops(checkout.push("--region", "europe"), "--region europe")


def test_without_an_engine(checkout):
    stops(checkout.push(DOCKER_HOST="unix:///nowhere/docker.sock"), "no Docker engine answers")


def test_with_aws_out_of_reach(checkout):
    stops(checkout.push(AWS_ENDPOINT_URL="http://127.0.0.1:9"), "can't be reached")


def test_with_an_unknown_profile(checkout):
    stops(checkout.push(AWS_PROFILE="nobody"), "nobody")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--device", "tpu"), "--device"),
        (("--repository", "Mine"), "--repository Mine"),
        (("--account", "12"), "12 digits"),
        (("--tag", "a b"), "--tag a b"),
        (("--platform", "windows/amd64"), "--platform windows/amd64"),
        (("--regoin", "x"), "--help"),
    ],
)
def test_mistyped_arguments(checkout, arguments, words):
    done = checkout.push(*arguments)
    stops(done, words)
    assert done.returncode == 2


def test_a_platform_that_this_machine_does_not_build_for(checkout):
    stops(checkout.push("--platform", "linux/s390x"), "linux/s390x")


def test_a_registry_with_another_password(new_checkout, tmp_path, engine, ecr):
    with running_registry(tmp_path / "other", password="another") as other:
        stops(new_checkout(other.address).push(), other.address, "did not accept the login")
        assert other.writes() == []


def test_a_registry_that_refuses_writes(new_checkout, tmp_path, engine, ecr):
    closed = {"REGISTRY_STORAGE_MAINTENANCE_READONLY": '{"enabled":true}'}
    with running_registry(tmp_path / "closed", **closed) as registry:
        stops(new_checkout(registry.address).push(), "refused an upload", "ecr:InitiateLayerUpload")
