#!/usr/bin/env bash
# Copyright (c) mmbombo contributors.
# Train and time on a GPU without a network, in 12 minutes.
#
#   bash tools/misc/gpu_check.sh WHEELS
#
# WHEELS is a folder of wheels, made where there is a network for the Python of
# the machine with the GPU (a torch that its Python has already is used):
#
#   pip download -d WHEELS --only-binary :all: --python-version 3.12 \
#       -r requirements/mminstall.txt -r requirements/runtime.txt
#
# and torch, if need be. Each step has a log of its own in work_dirs/gpu_check,
# and the next one runs after a failure too.
set -uo pipefail

if [ $# -ne 1 ]; then
    echo "Usage: bash $0 WHEELS" >&2
    exit 2
fi
wheels=$(realpath "$1")
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit
work=$PWD/work_dirs/gpu_check
set -e
python3 -m venv --system-site-packages "$work/venv"
export PYTHON=$work/venv/bin/python PYTHONPATH=$PWD SHAPES_ROOT=$work/shapes
install=("$PYTHON" -m pip install --quiet --no-index --find-links "$wheels")
"$PYTHON" -c 'import torch' 2>/dev/null || "${install[@]}" torch
"${install[@]}" -r requirements/mminstall.txt -r requirements/runtime.txt
"$PYTHON" tools/dataset_converters/photo_stamps.py --data shapes \
    --out "$work/shapes" --num-train 200 --num-val 8
set +e

failed=0
step() {
    local name=$1
    shift
    timeout 150 "$@" >"$work/$name.log" 2>&1 && echo "$name: ok" ||
        { echo "$name: failed, see $work/$name.log" && failed=1; }
}
config=configs/bombo/bombo_mobilenetv2_fpn-gfl_shapes.py
options=(--iters 60 --cfg-options model.backbone.init_cfg=None)
step fp32 "$PYTHON" tools/train.py $config --work-dir "$work/fp32" \
    "${options[@]}"
step amp "$PYTHON" tools/train.py $config --work-dir "$work/amp" --amp \
    "${options[@]}"
if [ "$("$PYTHON" -c 'import torch; print(torch.cuda.device_count())')" -gt 1 ]
then
    step two_processes bash tools/dist_train.sh $config 2 \
        --work-dir "$work/two_processes" "${options[@]}"
fi
for size_batch in '320 8' '512 4' '1024 2'; do
    read -r size batch <<<"$size_batch"
    step "times_$size" "$PYTHON" tools/analysis_tools/benchmark.py \
        configs/bombo/bombo_r50_fpn-gfl_voc.py \
        joint_step inference weak_losses --device cuda --size "$size" \
        --batch "$batch" --repeats 10
    grep 'ms, n =' "$work/times_$size.log"
done
exit $failed
