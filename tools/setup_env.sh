#!/usr/bin/env bash
# Copyright (c) mmbombo contributors.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/steps.sh"

usage() {
    cat <<'EOF'
Usage: bash tools/setup_env.sh [--stack onedl|official] [--tests]

Makes a virtual environment with PyTorch, the OpenMMLab libraries and mmbombo
(editable) in the root of the repository. Steps that are done are skipped.

  --stack onedl|official  family of OpenMMLab libraries (default: onedl);
                          onedl goes to .venv, official to .venv-official
  --tests                 also install what the tests need
  --help                  show this text

Environment variables:
  PYTHON      interpreter to use, Python 3.10 to 3.12 (default: the first that
              fits of python3, python3.12, python3.11, python3.10)
  TORCH_SPEC  what pip shall install as PyTorch, options included (default:
              torch==2.13.0); 2.5 or newer is needed. Without it, a torch
              that the interpreter, an active environment or the virtual
              environment already has is used as it is. Example:
                TORCH_SPEC="torch==2.13.0 --index-url URL"
              URL is PyTorch's CPU index, or the index of your CUDA version:
              see pytorch.org/get-started
  MAX_JOBS    parallel compilations of MMCV's operators
EOF
}

stack=onedl
with_tests=false
while [ $# -gt 0 ]; do
    case "$1" in
        --stack) need_value "$1" $#; stack=$2; shift 2 ;;
        --tests) with_tests=true; shift ;;
        -h | --help) usage; exit 0 ;;
        *) fail "unknown option '$1'" "$(usage | head -n 1)" ;;
    esac
done

VENV=$(venv_of "$stack")
PY=$VENV/bin/python
LOGS=$REPO_ROOT/work_dirs/setup/$stack
DEFAULT_TORCH=torch==2.13.0
# The first that can load a checkpoint without running what is in it.
OLDEST_TORCH=2.5

if [ "$stack" = onedl ]; then
    LIBRARIES=$REPO_ROOT/requirements/mminstall_onedl.txt
    MMCV=onedl-mmcv
    OTHER_MMCV=mmcv
    OTHER_STACK=official
else
    LIBRARIES=$REPO_ROOT/requirements/mminstall.txt
    MMCV=mmcv
    OTHER_MMCV=onedl-mmcv
    OTHER_STACK=onedl
fi

# A user's pip settings must not send packages elsewhere, ask, or chat.
export PIP_USER=0 PIP_NO_INPUT=1 PIP_DISABLE_PIP_VERSION_CHECK=1

NETWORK="read the log; most often the package index cannot be reached: check\
 the network or pip's settings, then run the same command again"

# ------------------------------------------------------------------- Python
python_fits() {
    "$1" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 13))' \
        2>/dev/null
}

find_python() {
    local candidate candidates=(python3 python3.12 python3.11 python3.10)
    [ -z "${PYTHON:-}" ] || candidates=("$PYTHON")
    for candidate in "${candidates[@]}"; do
        if python_fits "$candidate"; then
            "$candidate" -c 'import sys; print(sys.executable)'
            return
        fi
    done
    fail "Python 3.10, 3.11 or 3.12 is needed; tried: ${candidates[*]}" \
        "remedy: apt-get install python3 python3-venv python3-dev, or set\
 PYTHON=/path/to/python3.11"
}

make_venv() {
    local base=$1 parent
    "$base" -m venv "$VENV" || { rm -rf "$VENV"; return 1; }
    # a torch that the user has already installed
    parent=$("$base" -c 'import pathlib, torch
print(pathlib.Path(torch.__file__).parents[1])' 2>/dev/null || true)
    if [ -z "${TORCH_SPEC:-}" ] && [ -n "$parent" ]; then
        echo "using the PyTorch in $parent"
        echo "$parent" >"$("$PY" -c '
import sysconfig
print(sysconfig.get_path("purelib"))')/existing_torch.pth"
    fi
}

ensure_venv() {
    local base
    if [ ! -e "$VENV" ]; then
        base=$(find_python)
        run_step environment "$LOGS/environment.log" \
            "apt-get install python3-venv python3-dev (Debian keeps them apart\
 from python3), then run the same command again" \
            make_venv "$base"
    fi
    python_fits "$PY" && "$PY" -m pip --version >/dev/null || fail \
        "$VENV is not of Python 3.10 to 3.12, or has no pip" \
        "remedy: delete $VENV and run the same command again"
    [ -z "$(find "$VENV"/lib/python*/site-packages -maxdepth 1 \
        -name "${OTHER_MMCV//-/_}-*.dist-info")" ] || fail \
        "$VENV holds the '$OTHER_STACK' libraries, which share their import\
 names with '$stack'" \
        "remedy: delete $VENV, or use --stack $OTHER_STACK"
}

# ------------------------------------------------------------------ packages
pip_install() {
    "$PY" -m pip install "$@"
}

torch_version() {
    "$PY" -c 'from importlib.metadata import version
print(version("torch"))' 2>/dev/null || true
}

ensure_torch() {
    [ -n "${TORCH_SPEC:-}" ] || [ -z "$(torch_version)" ] || return 0
    if ! command -v nvidia-smi >/dev/null; then
        echo '[torch] No GPU found. If pip now fetches a CUDA build (several'
        echo '        GB) and you want a CPU build, stop it and see'
        echo '        TORCH_SPEC in: bash tools/setup_env.sh --help'
    fi
    # Unquoted on purpose: the variable may hold several arguments.
    # shellcheck disable=SC2086
    run_step torch "$LOGS/torch.log" \
        "$NETWORK, or choose a PyTorch with TORCH_SPEC" \
        pip_install ${TORCH_SPEC:-$DEFAULT_TORCH}
}

require_torch() {
    local version
    version=$(torch_version)
    printf '%s\n' "$OLDEST_TORCH" "$version" | sort -V -C ||
        fail "PyTorch $OLDEST_TORCH or newer is needed, $VENV uses $version" \
            "remedy: delete $VENV, set TORCH_SPEC=$DEFAULT_TORCH and run the\
 same command again"
}

# The usual OpenCV needs libGL and GLib, which a machine without a screen may
# lack. The headless build of the same version then takes its place; the
# record of the usual one stays, because MMCV asks for it by name.
ensure_opencv() {
    "$PY" -c 'import cv2' && return
    local version
    version=$("$PY" -c '
from importlib.metadata import version
print(version("opencv-python"))' 2>/dev/null) || version=''
    pip_install --force-reinstall --no-deps \
        "opencv-python-headless${version:+==$version}"
    "$PY" -c 'import cv2'
}

# A compiler for each core and 2 GB of memory.
compile_jobs() {
    local cores memory
    cores=$(nproc)
    memory=$(awk '/MemAvailable/ {print int($2 / 2000000)}' /proc/meminfo)
    [ "$memory" -ge 1 ] || memory=1
    echo $((cores < memory ? cores : memory))
}

install_mmcv() {
    local requirement
    requirement=$(grep "^$MMCV[=<>~]" "$LIBRARIES")
    export MAX_JOBS=${MAX_JOBS:-$(compile_jobs)}
    "$PY" -c 'import mmcv.ops' 2>/dev/null || echo \
        'compiling the operators, once, takes 10 to 20 minutes on 2 cores'
    # OpenCV first: MMCV's setup.py asks for one when it cannot import it.
    pip_install -c "$LIBRARIES" numpy opencv-python-headless
    pip_install --no-build-isolation -c "$LIBRARIES" "$requirement"
    ensure_opencv
    "$PY" -c 'import mmcv.ops' && return
    echo "pip's cache held operators of another PyTorch: compiling anew"
    pip_install --no-build-isolation --no-cache-dir --force-reinstall \
        --no-deps --no-binary "$MMCV" "$requirement"
    "$PY" -c 'import mmcv.ops'
}

install_libraries() {
    pip_install --no-build-isolation -r "$LIBRARIES"
    ensure_opencv
    "$PY" -c 'import mmcv.ops, mmdet.models, mmseg.models'
}

# -------------------------------------------------------------------- the job
# What an environment is made from; the torch in it may have been replaced.
inputs_key() {
    fingerprint "$("$PY" -c 'import sys; print(sys.version)')" \
        "$(torch_version)" "${TORCH_SPEC:-}" "$REPO_ROOT" \
        "$REPO_ROOT"/{setup.py,mmbombo/version.py,requirements/*.txt}
}

ensure_venv
parts=(libraries)
[ "$with_tests" = false ] || parts+=(tests)
key=$(inputs_key)
for part in "${parts[@]}"; do
    [ "$(cat "$VENV/.done_$part" 2>/dev/null)" = "$key" ] || key=''
done
if [ -n "$key" ]; then
    skip_step environment "$VENV"
    exit
fi
# A pip of 2023 lets setuptools install a second tree in place of the first.
run_step build-tools "$LOGS/build-tools.log" "$NETWORK" \
    pip_install --upgrade pip -r "$REPO_ROOT/requirements/build.txt"
ensure_torch
require_torch
run_step mmcv "$LOGS/mmcv.log" "read the log; compiling needs a C++ compiler\
 and Python's headers (apt-get install build-essential python3-dev) and, with a\
 GPU, the CUDA toolkit that fits PyTorch; an OpenCV that cannot be loaded needs\
 apt-get install libgl1 libglib2.0-0; then run the same command again" \
    install_mmcv
run_step libraries "$LOGS/libraries.log" "$NETWORK" install_libraries
run_step mmbombo "$LOGS/mmbombo.log" "$NETWORK" \
    pip_install --no-build-isolation -e "$REPO_ROOT"
if [ "$with_tests" = true ]; then
    run_step test-tools "$LOGS/test-tools.log" "$NETWORK" \
        pip_install -r "$REPO_ROOT/requirements/tests.txt"
fi
for part in "${parts[@]}"; do
    inputs_key >"$VENV/.done_$part"
done
echo "[environment] ready: source ${VENV#"$REPO_ROOT"/}/bin/activate"
