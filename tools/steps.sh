# Copyright (c) mmbombo contributors.
# Shell functions shared by setup_env.sh, quickstart.sh and run_tests.sh.
# Sourced by them; does nothing by itself.

REPO_ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
STEP_CHILD=''

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
        onedl) echo "$REPO_ROOT/.venv" ;;
        official) echo "$REPO_ROOT/.venv-official" ;;
        *) fail "--stack is 'onedl' or 'official', not '$1'" ;;
    esac
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

# Stamps: a finished step leaves the fingerprint of its inputs in a file.
is_stamped() {
    [ -f "$1" ] && [ "$(cat "$1")" = "$2" ]
}

stamp() {
    mkdir -p "$(dirname "$1")"
    printf '%s\n' "$2" >"$1"
}

clock() {
    printf '%d:%02d' $(($1 / 60)) $(($1 % 60))
}

# Last line of a log that holds anything, or how far a compilation is, whose
# other lines are warnings. Progress bars end in \r, not \n.
last_line() {
    local compiled
    compiled=$(tail -c 200000 "$1" 2>/dev/null |
        sed -n 's/^ *\(\[[0-9]*\/[0-9]*\]\) .*/\1 files compiled/p' | tail -n 1)
    if [ -n "$compiled" ]; then
        echo "$compiled"
        return
    fi
    tail -c 4000 "$1" 2>/dev/null | tr '\r' '\n' |
        { grep -av '^[[:space:]]*$' || true; } | tail -n 1
}

# End the running step and all that it started.
stop_child() {
    [ -z "$STEP_CHILD" ] || kill -TERM -- "-$STEP_CHILD" 2>/dev/null
    STEP_CHILD=''
}
trap 'stop_child; exit 130' INT
trap 'stop_child; exit 143' TERM HUP

skip_step() {
    printf '[%s] already done%s\n' "$1" "${2:+: $2}"
}

# Name the step, its log and the remedy, and leave.
fail_step() {
    local name=$1 log=$2 remedy=$3
    printf '\n[%s] FAILED. The end of the log:\n' "$name" >&2
    tail -n 25 "$log" | tr '\r' '\n' | tail -n 25 | cut -c 1-400 |
        sed 's/^/    /' >&2
    fail "the step '$name' failed" "log:    $log" "remedy: $remedy"
}

# On a terminal one line that is rewritten, elsewhere a line every 30 seconds.
show_progress() {
    local name=$1 log=$2 seconds=$3 line width
    line=$(last_line "$log")
    if [ -t 1 ]; then
        width=$(tput cols 2>/dev/null || echo 80)
        printf '\r\033[K%s' \
            "$(printf '[%s %s] %s' "$name" "$(clock "$seconds")" "$line" |
                cut -c "1-$((width - 1))")"
    elif [ "$seconds" -gt 0 ] && [ $((seconds % 30)) -eq 0 ]; then
        printf '[%s %s] %s\n' "$name" "$(clock "$seconds")" \
            "$(printf '%s' "$line" | cut -c 1-160)"
    fi
}

# Run a command with its output in a log, and show that it is running.
# Arguments: name, log, remedy, command...
run_step() {
    local name=$1 log=$2 remedy=$3 begin=$SECONDS shown=-1 status=0
    shift 3
    mkdir -p "$(dirname "$log")"
    printf '[%s] log: %s\n' "$name" "$log"
    : >"$log" # the progress display may look before the command writes
    set -m # a process group of its own, so that it can be ended as a whole
    "$@" >"$log" 2>&1 </dev/null &
    STEP_CHILD=$!
    set +m
    while kill -0 "$STEP_CHILD" 2>/dev/null; do
        if [ $((SECONDS - begin)) -ne "$shown" ]; then
            shown=$((SECONDS - begin))
            show_progress "$name" "$log" "$shown"
        fi
        sleep 0.2
    done
    wait "$STEP_CHILD" || status=$?
    STEP_CHILD=''
    [ ! -t 1 ] || printf '\r\033[K'
    [ "$status" -eq 0 ] || fail_step "$name" "$log" "$remedy"
    printf '[%s] done in %s\n' "$name" "$(clock $((SECONDS - begin)))"
}

# Run a command whose output is worth reading: it goes to the terminal and to
# a log. Arguments: name, log, remedy, command...
show_step() {
    local name=$1 log=$2 remedy=$3 begin=$SECONDS status=0
    shift 3
    mkdir -p "$(dirname "$log")"
    printf '[%s] log: %s\n' "$name" "$log"
    set -m
    (
        set -o pipefail
        "$@" 2>&1 </dev/null | tee "$log"
    ) &
    STEP_CHILD=$!
    set +m
    wait "$STEP_CHILD" || status=$?
    STEP_CHILD=''
    [ "$status" -eq 0 ] || fail_step "$name" "$log" "$remedy"
    printf '[%s] done in %s\n' "$name" "$(clock $((SECONDS - begin)))"
}
