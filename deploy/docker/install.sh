#!/bin/sh
# Installs Primase from the tree that holds this file: `install.sh PREFIX`. PREFIX becomes a virtual environment
# without pip, with every package at the version of constraints.txt.
#
# PYTHON        the interpreter, which has pip; python3 unless told
# TORCH_INDEX   where to take torch from; the registry that pip is set to unless told. On Linux that one's torch brings
#               the libraries of CUDA along. See docs/operations.md.
# EXTRAS        those of primase-server, such as telemetry,ray; telemetry unless told
set -eu

prefix=${1:?usage: install.sh PREFIX}
python=${PYTHON:-python3}
tree=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

pip_of() {
  environment=$1
  shift
  "$python" -m pip --disable-pip-version-check --no-cache-dir --python "$environment/bin/python" "$@"
}

"$python" -m venv --without-pip "$work/build"
pip_of "$work/build" install --constraint "$tree/constraints.txt" hatchling
for project in clients/python gateway service demo; do
  pip_of "$work/build" wheel --no-deps --no-build-isolation --wheel-dir "$work/wheels" "$tree/$project"
done

"$python" -m venv --without-pip "$prefix"
if [ -n "${TORCH_INDEX:-}" ]; then
  pip_of "$prefix" install --constraint "$tree/constraints.txt" --index-url "$TORCH_INDEX" --no-deps torch
fi
# Unasked for, what traces need costs nothing.
cd "$work/wheels"
pip_of "$prefix" install --constraint "$tree/constraints.txt" \
  ./primase-*.whl ./primase_gateway-*.whl ./primase_demo_models-*.whl "$(echo ./primase_server-*.whl)[${EXTRAS:-telemetry}]"
"$prefix/bin/primase" --version
