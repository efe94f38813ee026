#!/usr/bin/env bash
# Copyright (c) mmbombo contributors.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/steps.sh"

usage() {
    cat <<'EOF'
Usage: bash tools/run_tests.sh [--stack official|onedl] [pytest arguments]

Runs the tests in the environment of tools/quickstart.sh, which is made first
where it is missing. Without pytest arguments, the whole suite runs, in up to
four processes.

  --stack official|onedl  family of OpenMMLab libraries (default: official)
  --help                  show this text

Example: bash tools/run_tests.sh tests/test_configs.py -x
EOF
}

stack=official
case "${1:-}" in
    --stack) need_value "$1" $#; stack=$2; shift 2 ;;
    -h | --help) usage; exit 0 ;;
esac
VENV=$(venv_of "$stack")

bash "$REPO_ROOT/tools/setup_env.sh" --stack "$stack" --tests
cd "$REPO_ROOT"
# by file: what the tests of a file share is made once; a process takes 2 GB
[ $# -gt 0 ] || set -- --numprocesses auto --maxprocesses 4 --dist loadfile
exec "$VENV/bin/python" -m pytest "$@" </dev/null
