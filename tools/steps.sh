# Copyright (c) mmbombo contributors.
# Shell functions shared by setup_env.sh, quickstart.sh and run_tests.sh.
# Sourced by them; does nothing by itself.

REPO_ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"

# Print an error and leave. Arguments: one line each.
fail() {
    printf 'error: %s\n' "$1" >&2
    shift
    [ $# -eq 0 ] || printf '       %s\n' "$@" >&2
    exit 1
}

# The virtual environment of a family of libraries. Each has its own, because
# the two families overwrite each other's files.
venv_of() {
    case "$1" in
        official) echo "$REPO_ROOT/.venv" ;;
        onedl) echo "$REPO_ROOT/.venv-onedl" ;;
        *) fail "--stack is 'official' or 'onedl', not '$1'" ;;
    esac
}

# The PyTorch of an environment. Argument: its Python.
torch_version() {
    "$1" -c 'from importlib.metadata import version
print(version("torch"))' 2>/dev/null || true
}

# Whether it is of that version or a later one. Arguments: Python, version.
torch_at_least() {
    printf '%s\n' "$2" "$(torch_version "$1")" | sort -V -C
}

# Insist on an option's value. Arguments: option, number of words left.
need_value() {
    [ "$2" -ge 2 ] || fail "$1 needs a value (see --help)"
}

# Hash of all arguments; an argument that names a file stands for its content.
fingerprint() {
    local word
    for word in "$@"; do
        printf '%s\n' "$word"
        [ ! -f "$word" ] || cat "$word"
    done | sha256sum | cut -d ' ' -f 1
}

skip_step() {
    printf '[%s] already done%s\n' "$1" "${2:+: $2}"
}

# Run a command with its output on the terminal and in a log; name the log and
# the remedy if it fails. Arguments: name, log, remedy, command...
run_step() {
    local name=$1 log=$2 remedy=$3 begin=$SECONDS status
    shift 3
    mkdir -p "$(dirname "$log")"
    printf '[%s] log: %s\n' "$name" "$log"
    set +e # "cmd || ..." would switch it off inside of shell functions, too
    (set -e; "$@") </dev/null 2>&1 | tee "$log"
    status=${PIPESTATUS[0]}
    set -e
    [ "$status" -eq 0 ] || fail "the step '$name' failed" "log:    $log" \
        "remedy: $remedy"
    printf '[%s] done in %d:%02d\n' "$name" $(((SECONDS - begin) / 60)) \
        $(((SECONDS - begin) % 60))
}
