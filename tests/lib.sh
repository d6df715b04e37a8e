# SPDX-License-Identifier: MIT
#
# Sourced by shell tests, which run in the root of the tree: counts checks and
# prints "N passed, N failed, N skipped" at the end. $BIN is where the tools
# are, $T an empty directory that goes away.
LC_ALL=C
export LC_ALL
BIN=${BIN:-$PWD/build/rel/bin}
PATH=$BIN:$PATH
T=$(mktemp -d "${TMPDIR:-/tmp}/prefkit-test.XXXXXX") || exit 1
n_pass=0 n_fail=0 n_skip=0

finish() {
    rc=$?
    chmod -R u+w "$T" 2>/dev/null
    rm -rf "$T"
    if [ $rc != 0 ] && [ "$n_fail" = 0 ]; then
        echo "the test script stopped with status $rc"
        n_fail=1
    fi
    echo "$n_pass passed, $n_fail failed, $n_skip skipped"
    [ "$n_fail" = 0 ]
    exit $?
}
trap finish EXIT
trap 'exit 130' INT TERM

pass() {
    n_pass=$((n_pass + 1))
}
fail() {
    n_fail=$((n_fail + 1))
    echo "FAILED: $*"
}
skip() {
    n_skip=$((n_skip + 1))
    echo "skipped: $*"
}

# check WHAT COMMAND... : the command succeeds.
check() {
    what=$1
    shift
    if "$@"; then pass; else fail "$what"; fi
}

# same WHAT GOT WANT
same() {
    if [ "$2" = "$3" ]; then pass; else fail "$1: got '$2', want '$3'"; fi
}

# same_file WHAT GOT WANT
same_file() {
    if cmp "$2" "$3" >&2; then pass; else fail "$1: $2 and $3 differ"; fi
}

# status WANT WHAT COMMAND... : exit status; standard error is kept in $T/err,
# standard output in $T/out.
status() {
    want=$1
    what=$2
    shift 2
    "$@" >"$T/out" 2>"$T/err" </dev/null
    got=$?
    if [ $got = "$want" ]; then
        pass
    else
        fail "$what: exit $got, want $want: $(head -n 3 "$T/err")"
    fi
}

# says WHAT PATTERN : the last status's standard error matches (grep -E), and
# is one line.
says() {
    if grep -Eq -e "$2" "$T/err"; then
        pass
    else
        fail "$1: no '$2' in: $(head -n 3 "$T/err")"
    fi
}
