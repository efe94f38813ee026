#!/usr/bin/env bash
# Copyright (c) mmbombo contributors.
# Evaluate on a Slurm cluster, as slurm_train.sh trains:
#
#   bash tools/slurm_test.sh PARTITION JOB_NAME CONFIG CHECKPOINT \
#       [options of tools/test.py]
set -euo pipefail

if [ $# -lt 4 ]; then
    echo "Usage: bash $0 PARTITION JOB_NAME CONFIG CHECKPOINT [options]" >&2
    exit 2
fi
TOOL=test.py exec bash "$(dirname "${BASH_SOURCE[0]}")/slurm_train.sh" "$@"
