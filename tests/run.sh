#!/bin/sh
# SPDX-License-Identifier: MIT
#
# run.sh JOB... : runs unit tests (programs printing TAP), fuzz targets (over
# their corpus) and shell tests, JOBS at a time, and sums them up. The log of
# each job stands in build/test/; that of a failed one is shown. The last line
# is "N passed, N failed, N skipped".
#
# A job counts by its TAP lines when it prints a plan, by its own counting
# line when that is the last, and else as one test by its exit status. A
# non-zero exit is a failure in any case.
LC_ALL=C
BIN=${BIN:-$PWD/build/rel/bin}
export LC_ALL BIN
unset MAKEFLAGS MFLAGS MAKELEVEL

if [ "$1" = --one ]; then
    job=$2
    dir=build/test
    log=$dir/$(echo "$job" | tr / _).log
    start=$(date +%s)
    case $job in
    *.sh) timeout "${JOB_TIMEOUT:-240}" sh "$job" >"$log" 2>&1 </dev/null ;;
    */fuzz/*) timeout 240 "$job" tests/fuzz/corpus/"${job##*/fuzz_}" \
        >"$log" 2>&1 </dev/null ;;
    *) timeout 240 "$job" >"$log" 2>&1 </dev/null ;;
    esac
    rc=$?
    plan=$(sed -n 's/^1\.\.\([0-9]*\)$/\1/p' "$log" | head -n 1)
    last=$(tail -n 1 "$log" |
        sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed, \([0-9]*\) skipped$/\1 \2 \3/p')
    if [ -n "$plan" ]; then
        s=$(grep -c '^ok .*# skip' "$log")
        p=$(($(grep -c '^ok ' "$log") - s))
        f=$(grep -c '^not ok ' "$log")
        [ $((p + f + s)) = "$plan" ] || rc=${rc#0}1
    elif [ -n "$last" ]; then
        # shellcheck disable=SC2086
        set -- $last
        p=$1 f=$2 s=$3
    else
        p=1 f=0 s=0
        [ $rc = 0 ] || p=0 f=1
    fi
    [ $rc = 0 ] || [ "$f" != 0 ] || f=1
    echo "$p $f $s" >"${log%.log}.sum"
    if [ "$f" != 0 ]; then
        echo "== FAILED $job (exit $rc)"
        grep -v '^ok ' "$log" | tail -n 40
    elif [ -n "$VERBOSE" ] || [ $(($(date +%s) - start)) -ge 20 ]; then
        echo "$job: $p passed, $s skipped, $(($(date +%s) - start)) s"
    fi
    exit 0
fi

rm -rf build/test
mkdir -p build/test
printf '%s\n' "$@" | xargs -P "${JOBS:-2}" -n 1 sh "$0" --one
cat build/test/*.sum | awk -v jobs=$# '
    { p += $1; f += $2; s += $3; n++ }
    END {
        f += jobs - n # a job that left no count has failed
        printf "%d passed, %d failed, %d skipped\n", p, f, s
        exit f != 0
    }'
