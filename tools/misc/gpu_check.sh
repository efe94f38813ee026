#!/usr/bin/env bash
# Copyright (c) mmbombo contributors.
# Check mmbombo on a GPU without a network, in 12 minutes; one JSON file.
#
#   bash tools/misc/gpu_check.sh WHEELS [options of gpu_check.py]
#
# WHEELS is a folder of wheels, made where there is a network for the Python of
# the machine with the GPU (a torch that its Python has already is used):
#
#   pip download -d WHEELS --only-binary :all: --python-version 3.12 \
#       -r requirements/mminstall.txt -r requirements/runtime.txt
#
# and torch, if need be.
set -euo pipefail

if [ $# -lt 1 ]; then
    echo "Usage: bash $0 WHEELS [options of gpu_check.py]" >&2
    exit 2
fi
wheels=$(realpath "$1")
shift
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
venv=work_dirs/gpu_check/venv
python3 -m venv --system-site-packages "$venv"
pip_install() {
    "$venv/bin/python" -m pip install --quiet --no-index \
        --find-links "$wheels" "$@"
}
"$venv/bin/python" -c 'import torch' 2>/dev/null || pip_install torch
pip_install -r requirements/mminstall.txt -r requirements/runtime.txt
export PYTHON=$PWD/$venv/bin/python
exec "$PYTHON" tools/misc/gpu_check.py "$@"
