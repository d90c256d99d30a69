#!/bin/sh
# Runs in the image's build: install-packages.sh tools | code | LOCK
#
# tools   the installer and what builds source distributions, into /opt/tools
# code    our own distribution, into /opt/fastai-sagemaker/training
# LOCK    requirements/LOCK.txt, hashes checked, into /opt/venv
#
# Build secrets: ca (a PEM bundle), index (a pip configuration with index-url, extra-index-url).
set -eu
tools=/opt/tools
venv=/opt/venv

if [ -s /run/secrets/ca ]; then
    export SSL_CERT_FILE=/run/secrets/ca PIP_CERT=/run/secrets/ca
fi
if [ -s /run/secrets/index ]; then
    export PIP_CONFIG_FILE=/run/secrets/index
    # uv reads no pip configuration.
    UV_DEFAULT_INDEX=$(sed -n 's/^ *index-url *= *//p' /run/secrets/index | head -n 1)
    UV_INDEX=$(sed -n 's/^ *extra-index-url *= *//p' /run/secrets/index | tr '\n' ' ')
    [ -z "$UV_DEFAULT_INDEX" ] || export UV_DEFAULT_INDEX
    [ -z "$UV_INDEX" ] || export UV_INDEX
fi

# torch's block of a lock: its line and the hashes below it.
torch_block='/^torch==/{p=1} /^[a-z]/&&!/^torch==/{p=0}'

install_lock() {
    lock=/build/requirements/$1.txt
    # A CPU build of a wheel has the higher version: in a CUDA image it would win over the one that is locked.
    mkdir /tmp/wheels
    for wheel in /build/wheelhouse/*.whl; do
        case $lock$wheel in *-gpu.txt*+cpu-*) ;; *) [ ! -e "$wheel" ] || ln -s "$wheel" /tmp/wheels/ ;; esac
    done
    # The lock is complete: --no-deps keeps out what it leaves out on purpose.
    set -- --python "$venv/bin/python3" --require-hashes --no-deps --no-build-isolation --find-links /tmp/wheels
    "$tools/bin/uv" venv --quiet --python /usr/bin/python3 "$venv"
    # Source distributions are built by the tools' setuptools, in this environment.
    "$tools/bin/uv" pip install --quiet --python "$venv/bin/python3" --require-hashes -r /build/requirements/build.txt
    if grep -q '^torch==.*+cpu' "$lock" && ! ls /tmp/wheels/torch-*.whl >/dev/null 2>&1; then
        # No wheel was laid ready: uv knows where PyTorch's CPU wheels are.
        awk "$torch_block p" "$lock" >/tmp/torch.txt
        "$tools/bin/uv" pip install --quiet "$@" --torch-backend cpu -r /tmp/torch.txt
        awk "$torch_block !p" "$lock" >/tmp/others.txt
        lock=/tmp/others.txt
    fi
    "$tools/bin/uv" pip install --quiet "$@" -r "$lock"
    "$tools/bin/uv" pip uninstall --quiet --python "$venv/bin/python3" uv wheel
    rm -r /tmp/wheels
    # uv's lock, which anybody may write.
    rm -f "$venv/.lock"
    # Ours lie in a folder of their own, so that a change of them leaves this layer alone.
    echo /opt/fastai-sagemaker/python >"$("$venv/bin/python3" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/fastai_sagemaker.pth"
}

case $1 in
tools)
    python3 -m venv "$tools"
    "$tools/bin/pip" install --quiet --disable-pip-version-check --require-hashes -r /build/requirements/build.txt
    ;;
code)
    "$tools/bin/uv" pip install --quiet --python "$tools/bin/python3" --no-deps --no-build-isolation --offline \
        --target /opt/fastai-sagemaker/training /build/source
    rm -f /opt/fastai-sagemaker/training/.lock
    PYTHONHASHSEED=0 python3 -m compileall -q --invalidation-mode unchecked-hash /opt/fastai-sagemaker/training
    ;;
*)
    install_lock "$1"
    ;;
esac
