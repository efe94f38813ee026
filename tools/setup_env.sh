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
STAMPS=$VENV/.setup
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

# Where a torch that the user has already installed lies; empty without one.
torch_folder() {
    "$1" -c 'import pathlib, torch
print(pathlib.Path(torch.__file__).parents[1])' 2>/dev/null || true
}

make_venv() {
    local base=$1 parent
    rm -rf "$VENV" "$VENV.partial"
    "$base" -m venv "$VENV"
    "$PY" -m pip --version || { rm -rf "$VENV"; return 1; }
    parent=$(torch_folder "$base")
    if [ -z "${TORCH_SPEC:-}" ] && [ -n "$parent" ]; then
        echo "using the PyTorch in $parent"
        echo "$parent" >"$("$PY" -c '
import sysconfig
print(sysconfig.get_path("purelib"))')/existing_torch.pth"
    fi
}

ensure_venv() {
    if [ -e "$VENV" ] && "$PY" -m pip --version >/dev/null 2>&1; then
        python_fits "$PY" || fail "$VENV is not of Python 3.10 to 3.12" \
            "remedy: delete $VENV and run the same command again"
        skip_step environment "$VENV"
        return
    fi
    [ ! -e "$VENV/bin/python" ] || [ -d "$STAMPS" ] || fail \
        "$VENV exists but its Python or pip does not work" \
        "remedy: delete $VENV and run the same command again"
    local base
    base=$(find_python)
    run_step environment "$LOGS/environment.log" \
        "apt-get install python3-venv python3-dev (Debian keeps them apart\
 from python3), then run the same command again" \
        make_venv "$base"
}

# ------------------------------------------------------------------ packages
# "name" in the environment itself, not in what it inherits.
has_own_distribution() {
    "$PY" - "$1" <<'EOF'
import importlib.metadata
import sys
import sysconfig

path = [sysconfig.get_path('purelib'), sysconfig.get_path('platlib')]
names = {
    found.metadata['Name'].lower().replace('_', '-')
    for found in importlib.metadata.distributions(path=path)
}
sys.exit(sys.argv[1] not in names)
EOF
}

refuse_other_stack() {
    ! has_own_distribution "$OTHER_MMCV" || fail \
        "$VENV holds the '$OTHER_STACK' libraries, which share their import\
 names with '$stack'" \
        "remedy: delete $VENV, or use --stack $OTHER_STACK"
}

# Install once per input. Arguments: name, remedy, inputs of the stamp --
# command...
install_step() {
    local name=$1 remedy=$2 inputs=() key
    shift 2
    while [ "$1" != -- ]; do
        inputs+=("$1")
        shift
    done
    shift
    key=$(fingerprint "${inputs[@]}")
    if is_stamped "$STAMPS/$name" "$key"; then
        skip_step "$name"
        return
    fi
    [ "$name" != mmcv ] || echo \
        '[mmcv] compiling the operators, once, takes 10 to 20 minutes on 2 cores'
    run_step "$name" "$LOGS/$name.log" "$remedy" "$@"
    stamp "$STAMPS/$name" "$key"
}

pip_install() {
    "$PY" -m pip install "$@"
}

torch_version() {
    "$PY" -c 'from importlib.metadata import version
print(version("torch"))' 2>/dev/null || true
}

ensure_torch() {
    local present
    present=$(torch_version)
    if [ -z "${TORCH_SPEC:-}" ] && [ -n "$present" ]; then
        skip_step torch "$present"
        return
    fi
    if ! command -v nvidia-smi >/dev/null; then
        echo '[torch] No GPU found. If pip now fetches a CUDA build (several'
        echo '        GB) and you want a CPU build, stop it and see'
        echo '        TORCH_SPEC in: bash tools/setup_env.sh --help'
    fi
    # Unquoted on purpose: the variable may hold several arguments.
    # shellcheck disable=SC2086
    install_step torch "$NETWORK, or choose a PyTorch with TORCH_SPEC" \
        "${TORCH_SPEC:-$DEFAULT_TORCH}" -- \
        pip_install ${TORCH_SPEC:-$DEFAULT_TORCH}
}

require_torch() {
    printf '%s\n' "$OLDEST_TORCH" "$1" | sort -V -C ||
        fail "PyTorch $OLDEST_TORCH or newer is needed, $VENV uses $1" \
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
    # OpenCV first: MMCV's setup.py asks for one when it cannot import it.
    pip_install -c "$LIBRARIES" numpy opencv-python-headless
    pip_install -v --no-build-isolation -c "$LIBRARIES" "$requirement"
    ensure_opencv
    "$PY" -c 'import mmcv.ops' && return
    echo "pip's cache held operators of another PyTorch: compiling anew"
    pip_install -v --no-build-isolation --no-cache-dir --force-reinstall \
        --no-deps --no-binary "$MMCV" "$requirement"
    "$PY" -c 'import mmcv.ops'
}

install_libraries() {
    pip_install --no-build-isolation -r "$LIBRARIES"
    ensure_opencv
    "$PY" -c 'import mmcv.ops, mmdet.models, mmseg.models'
}

# -------------------------------------------------------------------- the job
ensure_venv
refuse_other_stack
python_version=$("$PY" -c 'import sys; print(sys.version)')
install_step build-tools "$NETWORK" \
    "$python_version" "$REPO_ROOT/requirements/build.txt" -- \
    pip_install --upgrade pip -r "$REPO_ROOT/requirements/build.txt"
ensure_torch
torch=$(torch_version)
require_torch "$torch"
install_step mmcv "read the log; compiling needs a C++ compiler and Python's\
 headers (apt-get install build-essential python3-dev) and, with a GPU, the\
 CUDA toolkit that fits PyTorch; an OpenCV that cannot be loaded needs apt-get\
 install libgl1 libglib2.0-0; then run the same command again" \
    "$python_version" "$torch" "$LIBRARIES" -- install_mmcv
install_step libraries "$NETWORK" \
    "$python_version" "$torch" "$LIBRARIES" -- install_libraries
install_step mmbombo "$NETWORK" \
    "$python_version" "$REPO_ROOT" "$REPO_ROOT/setup.py" \
    "$REPO_ROOT/mmbombo/version.py" "$REPO_ROOT/requirements/runtime.txt" \
    -- pip_install --no-build-isolation -e "$REPO_ROOT"
if [ "$with_tests" = true ]; then
    install_step test-tools "$NETWORK" \
        "$python_version" "$REPO_ROOT/requirements/tests.txt" -- \
        pip_install -r "$REPO_ROOT/requirements/tests.txt"
fi
echo "[environment] ready: source ${VENV#"$REPO_ROOT"/}/bin/activate"
