#!/usr/bin/env bash
# Copyright (c) mmbombo contributors.
# Evaluate with several processes, as dist_train.sh trains:
#
#   bash tools/dist_test.sh CONFIG CHECKPOINT GPUS [options of tools/test.py]
set -euo pipefail

if [ $# -lt 3 ]; then
    echo "Usage: bash $0 CONFIG CHECKPOINT GPUS [options of tools/test.py]" >&2
    exit 2
fi
TOOL=test.py exec bash "$(dirname "${BASH_SOURCE[0]}")/dist_train.sh" \
    "$1" "$3" "$2" "${@:4}"
