#!/bin/sh
# Runs in the image's build: take out of /opt/venv what a container of this kind never opens.
#   trim.sh serving | training
set -eu
packages=$(/opt/venv/bin/python3 -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
cd "$packages"

# netty's native transport for this processor, so that it needs no unpacking into /tmp (which may be mounted noexec).
mkdir -p /opt/native
case $(uname -m) in aarch64) arch=aarch_64 ;; *) arch=$(uname -m) ;; esac
python3 - "mms/frontend/model-server.jar" "META-INF/native/libnetty_transport_native_epoll_$arch.so" <<'PYTHON'
import pathlib, sys, zipfile
jar, name = sys.argv[1:]
target = pathlib.Path("/opt/native", pathlib.PurePosixPath(name).name)
target.write_bytes(zipfile.ZipFile(jar).read(name))
PYTHON

# OpenVINO's devices other than the CPU, and the readers of other formats; training converts from PyTorch.
rm -f openvino/libs/libopenvino_intel_gpu_plugin.so openvino/libs/libopenvino_intel_npu_plugin.so openvino/libs/cache.json
for reader in gguf jax onnx paddle tensorflow tensorflow_lite; do
    rm -f openvino/libs/libopenvino_${reader}_frontend.so*
done
[ "$1" = training ] || rm -f openvino/libs/libopenvino_pytorch_frontend.so*

# Test suites, C headers and static libraries: nothing is compiled or tested in a container. Licence texts stay.
find . -type d \( -name tests -o -name test \) -not -path './torch/*' -not -path './sagemaker_training/*' \
    -not -path './*.dist-info/*' -prune -exec rm -rf {} +
rm -rf torch/include torch/test torch/share caffe2 numpy/_core/include
find . -name '*.a' -delete
# Service descriptions that neither toolkit calls.
if [ -d botocore/data ]; then
    for service in botocore/data/*/; do
        case $(basename "$service") in
        s3 | sts | sagemaker | sagemaker-runtime | codeartifact | logs | ssm | secretsmanager | ecr | iam | sso | sso-oidc | signin) ;;
        *) rm -rf "$service" ;;
        esac
    done
fi
# Nothing asks any more for what requirements/leave-out-*.txt keeps out.
python3 /build/leave_out.py "$packages" "/build/requirements/leave-out-$1.txt"
# Compiled once here: a container's root may be read-only, and a start should not compile.
# The same bytes each time: not in parallel processes, with one hash seed, and also what an import has compiled already.
PYTHONHASHSEED=0 /opt/venv/bin/python3 -m compileall -q -f --invalidation-mode unchecked-hash . >/dev/null || true
