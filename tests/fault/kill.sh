#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Kills a producer with -9 at a random moment: every consumer downstream must
# exit 4 and publish nothing. TRIES=100 in check-long. The input never ends, so
# the kill always comes before the producer is done.
. tests/lib.sh
M=samples/tiny-hh
# A model of a few thousand parameters: what is scored before the kill is read
# does not take long.
R=tests/golden/models/llama
tries=${TRIES:-10}
gzip -dc samples/hh/train.jsonl.gz >"$T/in.jsonl"
mkfifo "$T/a" "$T/b" "$T/c"
feed() {
    while cat "$T/in.jsonl"; do :; done 2>/dev/null
}
seed=${SEED:-$(date +%s)}
echo "seed $seed"
i=0
while [ $i -lt "$tries" ]; do
    i=$((i + 1))
    seed=$(((seed * 1103515245 + 12345) % 2147483648))
    delay=$(printf '0.%03d' $((seed / 65536 % 400)))
    rm -rf "$T/rows" "$T/scored"
    case $((i % 4)) in
    0) victim=prefconv last="refscore -q -j1 -m $R -o $T/scored" ;;
    1) victim=preftok last="refscore -q -j1 -m $R -o $T/scored" ;;
    2) victim=prefconv last="refscore -q -j1 -m $R" ;;
    3) victim=prefconv last= ;;
    esac
    feed >"$T/a" &
    feeder=$!
    prefconv -q <"$T/a" >"$T/b" 2>/dev/null &
    p1=$!
    if [ -n "$last" ]; then
        preftok -q -m $M <"$T/b" >"$T/c" 2>"$T/err2" &
        p2=$!
        $last <"$T/c" >"$T/stream" 2>"$T/err3" &
        p3=$!
    else
        preftok -q -m $M -o "$T/rows" <"$T/b" 2>"$T/err2" &
        p2=$!
        p3=
    fi
    sleep "$delay"
    if [ $victim = prefconv ]; then kill -9 $p1; else kill -9 $p2; fi
    wait $p1 2>/dev/null
    wait $p2 2>/dev/null
    rc2=$?
    [ $victim = preftok ] || same "try $i ($delay s, $victim dies): preftok" $rc2 4
    if [ -n "$p3" ]; then
        wait $p3
        same "try $i ($delay s, $victim dies): refscore" $? 4
    fi
    kill $feeder 2>/dev/null
    wait $feeder 2>/dev/null
    check "try $i: no set of rows" test ! -e "$T/rows/manifest.json"
    check "try $i: no scored set" test ! -e "$T/scored/manifest.json"
done
