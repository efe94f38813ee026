#!/usr/bin/env bash
# Copyright (c) mmbombo contributors.
# Run the tests in the environment of tools/quickstart.sh, which is made first
# where it is missing:
#
#   bash tools/run_tests.sh [--stack onedl|official] [pytest arguments]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/steps.sh"

stack=onedl
if [ "${1:-}" = --stack ]; then
    need_value "$1" $#
    stack=$2
    shift 2
fi
VENV=$(venv_of "$stack")

bash "$REPO_ROOT/tools/setup_env.sh" --stack "$stack" --tests
cd "$REPO_ROOT"
exec "$VENV/bin/python" -m pytest "$@" </dev/null
