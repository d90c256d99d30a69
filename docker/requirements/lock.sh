#!/bin/sh
# Resolve the *.in files to locks: names, versions and hashes only. Needs uv; WHEELS= may name a folder of wheels.
#   docker/requirements/lock.sh [PACKAGE ...]     upgrade these, or everything when none is given
set -eu
cd "$(dirname "$0")"

compile() { # OUTPUT INPUT EXCLUDES PYTHON [OPTION ...]
    output=$1 input=$2 excludes=$3 python=$4
    shift 4
    uv pip compile "$input" --output-file "$output" --excludes "$excludes" --python-version "$python" \
        --generate-hashes --no-annotate --no-header --no-emit-index-url --quiet ${WHEELS:+--find-links "$WHEELS"} "$@"
}

upgrade=
for package in "$@"; do upgrade="$upgrade --upgrade-package $package"; done
[ $# -gt 0 ] || upgrade=--upgrade

# CPU images are Debian 12's Python 3.11. WHEELS must hold torch's CPU wheel: the package index has CUDA builds only.
# shellcheck disable=SC2086 # one option a word
compile training-cpu.txt training.in leave-out-training.txt 3.11 --python-platform x86_64-manylinux_2_28 $upgrade
# What both images have is of one version in both.
# shellcheck disable=SC2086
compile serving-cpu.txt serving.in leave-out-serving.txt 3.11 --constraints training-cpu.txt $upgrade
unset WHEELS
# CUDA images: Ubuntu 24.04's Python 3.12, or Debian's.
# shellcheck disable=SC2086
compile training-gpu.txt training.in leave-out-training.txt 3.11 --universal $upgrade
# shellcheck disable=SC2086
compile serving-gpu.txt serving-gpu.in leave-out-serving.txt 3.11 --universal --constraints training-gpu.txt $upgrade
# shellcheck disable=SC2086
compile build.txt build.in /dev/null 3.11 $upgrade
# Runs on users' machines, whatever Python they have.
# shellcheck disable=SC2086
compile push.txt push.in /dev/null 3.10 --universal $upgrade
# shellcheck disable=SC2086
compile sbom.txt sbom.in /dev/null 3.10 --universal $upgrade
