#!/bin/sh
# Build both images and push them to Amazon ECR; prints their URIs last. ./build_and_push.sh --help has the options.
# The work is docker/fastai_push's; PYTHON= names another Python (3.10 or newer) to start with.
set -eu
root=$(cd "$(dirname "$0")" && pwd)
command -v "${PYTHON:=python3}" >/dev/null || {
    echo "error: there is no $PYTHON: install Python 3.10 or newer, or name it, as in PYTHON=python3.11" >&2
    exit 1
}
PYTHONPATH=$root/docker${PYTHONPATH:+:$PYTHONPATH} exec "$PYTHON" -m fastai_push "$@"
