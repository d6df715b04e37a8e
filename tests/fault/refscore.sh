#!/bin/sh
# SPDX-License-Identifier: MIT
#
# refscore killed with -9 at growing delays and resumed: no manifest before
# the end, and the SHA256SUMS of an uninterrupted run in the end.
. tests/lib.sh
M=samples/tiny-hh
# Several cells of 1,024 rows are wanted, of rows that are quick to score.
awk 'BEGIN {
    for (i = 0; i < 6000; i++)
        printf "{\"prompt_ids\":[%d,%d,7],\"chosen_ids\":[%d,0],\"rejected_ids\":[9,%d,0]}\n",
            i % 1000 + 3, i % 77 + 3, i % 901 + 3, i % 313 + 3
}' >"$T/ids.jsonl"
preftok -q -m $M -o "$T/many" "$T/ids.jsonl" || exit 1
preftok -q -m $M "$T/ids.jsonl" >"$T/stream" || exit 1

# killed WHAT MANIFEST COMMAND...: runs it until it ends, killing it ever later.
killed() {
    run=$1 manifest=$2
    shift 2
    kills=0 delay=5
    while :; do
        "$@" 2>"$T/err" &
        pid=$!
        sleep "0.$(printf %03d $delay)"
        kill -9 $pid 2>/dev/null
        wait $pid 2>/dev/null
        rc=$?
        [ $rc = 137 ] || break
        kills=$((kills + 1)) delay=$((delay + delay / 2))
        check "$run: no manifest after kill $kills" test ! -e "$manifest"
        [ $delay -lt 900 ] || break
    done
    [ $rc = 0 ] || { "$@" 2>"$T/err"; rc=$?; }
    same "$run: the last run" $rc 0
    echo "$run: $kills kills"
    check "$run: was killed at all" test $kills -gt 0
}

check 'an uninterrupted run' refscore -q -m $M --name x -o "$T/whole" "$T/stream"
killed '-o' "$T/set/manifest.json" \
    refscore -q -m $M --name x -o "$T/set" --resume "$T/stream"
same_file '-o: the same sums' "$T/set/SHA256SUMS" "$T/whole/SHA256SUMS"
check '-o: verifies' prefshard verify -q "$T/set"
same '-o: nothing else is left' "$(ls "$T/set")" "$(ls "$T/whole")"

killed '--in-place' "$T/many/x.ref.json" \
    refscore -q -m $M --name x --in-place "$T/many" --resume
same_file '--in-place: the same sums' "$T/many/SHA256SUMS" "$T/whole/SHA256SUMS"
same '--in-place: nothing else is left' "$(ls "$T/many")" "$(ls "$T/whole")"
