#!/bin/sh
# Build both images and push them to Amazon ECR; prints their URIs last.
#
#   ./build_and_push.sh [--device cpu|gpu] [--region REGION] [--tag TAG] [--dry-run]
#
# Needs the AWS CLI with credentials that may create repositories and push, and a Docker engine.
set -eu
cd "$(dirname "$0")"

device=cpu region=${AWS_REGION:-${AWS_DEFAULT_REGION:-}}
tag=''
run=''

fail() {
    echo "error: $*" >&2
    exit 1
}

while [ $# -gt 0 ]; do
    case $1 in
    --device | --region | --tag)
        [ $# -ge 2 ] || fail "$1 needs a value"
        eval "${1#--}=\$2"
        shift 2
        ;;
    --dry-run)
        run="echo would run:"
        shift
        ;;
    -h | --help)
        sed -n '2,6s/^# \{0,1\}//p' "$0"
        exit 0
        ;;
    *) fail "unknown argument $1; see $0 --help" ;;
    esac
done

case $device in cpu | gpu) ;; *) fail "--device $device: it must be cpu or gpu" ;; esac
command -v aws >/dev/null || fail "the AWS CLI is not installed; see https://docs.aws.amazon.com/cli/"
docker version >/dev/null 2>&1 || fail "no Docker engine answers; make doctor says how to get one"
[ -n "$region" ] || region=$(aws configure get region) || fail "no region; pass --region or set AWS_REGION"
account=$(aws sts get-caller-identity --query Account --output text) || fail "no valid AWS credentials; run aws configure"
version=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
[ -n "$tag" ] || tag=$version-$device
[ -n "$run" ] || [ -z "$(git status --porcelain)" ] || fail "the working tree has changes; commit them first"

case $region in cn-*) domain=amazonaws.com.cn ;; *) domain=amazonaws.com ;; esac
registry=$account.dkr.ecr.$region.$domain

$run make build "DEVICE=$device"
aws ecr get-login-password --region "$region" | $run docker login --username AWS --password-stdin "$registry"
for name in fastai-sagemaker-serving fastai-sagemaker-training; do
    aws ecr describe-repositories --region "$region" --repository-names "$name" >/dev/null 2>&1 ||
        $run aws ecr create-repository --region "$region" --repository-name "$name" \
            --image-scanning-configuration scanOnPush=true >/dev/null
    $run docker tag "$name:$device" "$registry/$name:$tag"
    $run docker push --quiet "$registry/$name:$tag"
done
for name in fastai-sagemaker-serving fastai-sagemaker-training; do
    echo "$registry/$name:$tag"
done
