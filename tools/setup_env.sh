#!/usr/bin/env bash
# Copyright (c) mmbombo contributors.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/steps.sh"

usage() {
    cat <<'EOF'
Usage: bash tools/setup_env.sh [--stack official|onedl] [--compile] [--tests]

Makes a virtual environment with PyTorch, the OpenMMLab libraries and mmbombo
(editable) in the root of the repository. Steps that are done are skipped.
Nothing is compiled, unless one of the first two options asks for it.

  --stack official|onedl  family of OpenMMLab libraries (default: official);
                          official goes to .venv, onedl, whose MMCV is always
                          compiled, to .venv-onedl
  --compile               also compile MMCV's operators (10 to 20 minutes on 2
                          cores; a wheel that pip can find is used instead);
                          they stay when the script runs without it
  --tests                 also install what the tests need
  --help                  show this text

Environment variables:
  PYTHON      interpreter to use, Python 3.10 to 3.12 (default: the first that
              fits of python3, python3.12, python3.11, python3.10)
  TORCH_SPEC  what pip shall install as PyTorch, options included (default:
              torch==2.13.0); 2.0 or newer is needed. Without it, a torch
              that the interpreter, an active environment or the virtual
              environment already has is used as it is. Example:
                TORCH_SPEC="torch==2.13.0 --index-url URL"
              URL is PyTorch's CPU index, or the index of your CUDA version:
              see pytorch.org/get-started
  PIP_FIND_LINKS
              folder of wheels, of compiled operators for example
  MAX_JOBS    parallel compilations of MMCV's operators
EOF
}

stack=official
compile=false
with_tests=false
while [ $# -gt 0 ]; do
    case "$1" in
        --stack) need_value "$1" $#; stack=$2; shift 2 ;;
        --compile) compile=true; shift ;;
        --tests) with_tests=true; shift ;;
        -h | --help) usage; exit 0 ;;
        *) fail "unknown option '$1'" "$(usage | head -n 1)" ;;
    esac
done

VENV=$(venv_of "$stack")
PY=$VENV/bin/python
LOGS=$REPO_ROOT/work_dirs/setup/$stack
DEFAULT_TORCH=torch==2.13.0
OLDEST_TORCH=2.0

# A user's pip settings must not send packages elsewhere, ask, or chat.
unset PIP_TARGET PIP_PREFIX PIP_ROOT
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
        "remedy: apt-get install python3 python3-venv, or set\
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
            "apt-get install python3-venv (Debian keeps it apart from python3),\
 then run the same command again" \
            make_venv "$base"
    fi
    python_fits "$PY" && "$PY" -m pip --version >/dev/null || fail \
        "$VENV is not of Python 3.10 to 3.12, or has no pip" \
        "remedy: delete $VENV and run the same command again"
    if [ "$stack" = official ] && has_package 'onedl_mmcv-*'; then
        fail "$VENV holds the 'onedl' libraries, which share their import\
 names with 'official'" \
            "remedy: delete $VENV, or use --stack onedl, which now makes\
 $(venv_of onedl)"
    elif [ "$stack" = onedl ] && has_package 'mmcv[-_]*'; then
        fail "$VENV holds the 'official' libraries, which share their import\
 names with 'onedl'" \
            "remedy: delete $VENV, or use --stack official"
    fi
}

# ------------------------------------------------------------------ packages
pip_install() {
    "$PY" -m pip install --prefer-binary "$@"
}

# Whether the environment holds a package. Argument: name, as in a file name.
has_package() {
    [ -n "$(find "$VENV"/lib/python*/site-packages -maxdepth 1 \
        -name "$1.dist-info" 2>/dev/null)" ]
}

choose_libraries() {
    MMCV=mmcv
    # Compiled operators stay: mmcv-lite would overwrite what they belong to.
    if [ "$stack" = onedl ]; then
        LIBRARIES=$REPO_ROOT/requirements/mminstall_onedl.txt
        MMCV=onedl-mmcv
        compile=true
    elif [ "$compile" = true ] || has_package 'mmcv-*'; then
        LIBRARIES=$REPO_ROOT/requirements/mminstall_compiled.txt
        compile=true
    else
        LIBRARIES=$REPO_ROOT/requirements/mminstall.txt
    fi
}

ensure_torch() {
    [ -n "${TORCH_SPEC:-}" ] || [ -z "$(torch_version "$PY")" ] || return 0
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
    torch_at_least "$PY" "$OLDEST_TORCH" ||
        fail "PyTorch $OLDEST_TORCH or newer is needed, $VENV uses\
 $(torch_version "$PY")" \
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

has_operators() {
    "$PY" -c 'import torch, mmcv._ext'
}

compile_mmcv() {
    local requirement
    ! has_operators 2>/dev/null || return 0
    requirement=$(grep "^$MMCV[=<>~]" "$LIBRARIES")
    export MAX_JOBS=${MAX_JOBS:-$(compile_jobs)}
    echo 'compiling the operators, once, takes 10 to 20 minutes on 2 cores'
    # OpenCV first: MMCV's setup.py asks for one when it cannot import it.
    pip_install -c "$LIBRARIES" ${limits:+"$limits"} numpy opencv-python-headless
    # Built before mmcv-lite goes: a failure leaves the environment as it is.
    rm -rf "$VENV/wheels"
    "$PY" -m pip wheel --no-build-isolation --no-deps \
        --wheel-dir "$VENV/wheels" "$requirement"
    "$PY" -m pip uninstall --yes mmcv-lite
    pip_install -c "$LIBRARIES" ${limits:+"$limits"} "$VENV"/wheels/*.whl
    ensure_opencv
    has_operators && return
    echo "pip's cache held operators of another PyTorch: compiling anew"
    pip_install --no-build-isolation --no-cache-dir --force-reinstall \
        --no-deps --no-binary "$MMCV" "$requirement"
    has_operators
}

install_libraries() {
    local tests=''
    [ "$with_tests" = false ] || tests=$REPO_ROOT/requirements/tests.txt
    pip_install --no-build-isolation ${limits:+"$limits"} -r "$LIBRARIES" \
        ${tests:+-r "$tests"} -e "$REPO_ROOT"
    ensure_opencv
    "$PY" -c 'import mmbombo, mmdet.models, mmseg.models'
}

# -------------------------------------------------------------------- the job
# What an environment is made from; the torch in it may have been replaced.
inputs_key() {
    fingerprint "$("$PY" -c 'import sys; print(sys.version)')" \
        "$(torch_version "$PY")" "${TORCH_SPEC:-}" "$REPO_ROOT" \
        "$REPO_ROOT"/{setup.py,pyproject.toml,mmbombo/version.py,requirements/*.txt}
}

ensure_venv
choose_libraries
parts=(libraries)
[ "$compile" = false ] || parts+=(operators)
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
# NumPy 2 is newer than these.
torch_at_least "$PY" 2.3 && limits='' || limits='numpy<2'
if [ "$compile" = true ]; then
    run_step mmcv "$LOGS/mmcv.log" "read the log; compiling needs a C++\
 compiler and Python's headers (apt-get install build-essential python3-dev)\
 and, with a GPU, the CUDA toolkit that fits PyTorch; then run the same\
 command again" compile_mmcv
fi
run_step libraries "$LOGS/libraries.log" "$NETWORK" install_libraries
for part in "${parts[@]}"; do
    inputs_key >"$VENV/.done_$part"
done
echo "[environment] ready: source ${VENV#"$REPO_ROOT"/}/bin/activate"
