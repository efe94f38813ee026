#!/usr/bin/env bash
# Copyright (c) mmbombo contributors.
# Train with several processes: one per GPU, or, on a machine without GPUs,
# that many processes on the CPU.
#
#   [NNODES=1 NODE_RANK=0 PORT=29500 MASTER_ADDR=127.0.0.1] \
#       bash tools/dist_train.sh CONFIG GPUS [options of tools/train.py]
set -euo pipefail

if [ $# -lt 2 ]; then
    echo "Usage: bash $0 CONFIG GPUS [options of tools/train.py]" >&2
    exit 2
fi
config=$1
gpus=$2
shift 2
tools=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

exec "${PYTHON:-python}" -m torch.distributed.run \
    --nnodes="${NNODES:-1}" \
    --node_rank="${NODE_RANK:-0}" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" \
    --master_port="${PORT:-29500}" \
    --nproc_per_node="$gpus" \
    "$tools/${TOOL:-train.py}" "$config" --launcher pytorch "$@"
