#!/bin/sh
# SPDX-License-Identifier: MIT
#
# prefconv with every system call failing once, and killed in the middle of a
# pipe: what stands under a final name is whole, and a reader of what a killed
# prefconv wrote always exits 4.
. tests/lib.sh

S=samples/hh/train.jsonl.gz
if ! gcc -shared -fPIC -O1 -o "$T/inject.so" tests/fault/inject_io.c; then
    skip 'cannot build the injection library'
    exit 0
fi
mkdir "$T/d"
prefconv "$S" >"$T/want"

# inject CALL N WHAT COMMAND... : its status in $rc; false when the N-th call
# never came
inject() {
    rm -f "$T/hit"
    spec=$1:$2:$3
    shift 3
    INJECT=$spec INJECT_HIT=$T/hit LD_PRELOAD=$T/inject.so "$@" 2>"$T/err"
    rc=$?
    [ -e "$T/hit" ]
}

# Every N-th call of a kind, with -o FILE. WHAT that is an error either leads
# to exit 6 and no file, or did no harm.
for case in open:EIO open:EMFILE read:EIO write:EIO write:ENOSPC fsync:EIO \
    fsync:ENOSPC rename:EIO close:EIO; do
    call=${case%:*} what=${case#*:} n=1
    while inject "$call" $n "$what" prefconv -j2 -o "$T/d/out" "$S"; do
        if [ $rc = 0 ]; then
            cmp -s "$T/d/out" "$T/want" || fail "$case $n: exit 0, wrong file"
        elif { [ $rc = 6 ] || [ $rc = 7 ]; } && [ -s "$T/err" ]; then
            [ ! -e "$T/d/out" ] || fail "$case $n: exit $rc, yet a file"
        else
            fail "$case $n: exit $rc: $(cat "$T/err")"
        fi
        rm -f "$T/d/out"
        [ -z "$(ls "$T/d")" ] || fail "$case $n: left $(ls "$T/d")"
        n=$((n + 1))
    done
    check "$case happened" test $n -gt 1
    rm -f "$T/d"/*
done

# Interrupted and short calls are gone on with.
for case in open:EINTR read:EINTR write:EINTR read:SHORT write:SHORT \
    read:EAGAIN write:EAGAIN; do
    call=${case%:*} what=${case#*:} n=1
    while [ $n -le 12 ] &&
        inject "$call" $n "$what" prefconv -j2 -f -o "$T/d/out" "$S"; do
        [ $rc = 0 ] && cmp -s "$T/d/out" "$T/want" ||
            fail "$case $n: exit $rc: $(cat "$T/err")"
        n=$((n + 1))
    done
    check "$case happened" test $n -gt 1
done
rm -f "$T/d"/*

# Killed before or in the middle of each call that makes a file.
for case in write:KILL write:HALF fsync:KILL rename:KILL close:KILL; do
    n=1
    rm -f "$T/d"/*
    while inject "${case%:*}" $n "${case#*:}" prefconv -o "$T/d/out" "$S"; do
        [ ! -e "$T/d/out" ] || cmp -s "$T/d/out" "$T/want" ||
            fail "$case $n: a partial file"
        rm -f "$T/d"/*
        n=$((n + 1))
    done
    check "$case happened" test $n -gt 1
done

# Killed before each write to a pipe. (Not in the middle of one: they are small
# enough to be all or nothing.)
rm -f "$T/d"/*
n=1
while
    rm -f "$T/hit"
    INJECT=write:$n:KILL INJECT_HIT=$T/hit LD_PRELOAD=$T/inject.so \
        prefconv "$S" 2>"$T/err" | prefconv -o "$T/d/out" 2>"$T/err2"
    rc=$?
    [ -e "$T/hit" ]
do
    [ $rc = 4 ] || fail "killed at write $n: the reader's exit is $rc"
    [ -z "$(ls "$T/d")" ] || fail "killed at write $n: left $(ls "$T/d")"
    rm -f "$T/d"/*
    n=$((n + 1))
done
check 'kills in a pipe happened' test $n -gt 20
rm -f "$T/d"/*

# Killed at any moment: TRIES runs with growing delays.
gzip -dc "$S" >"$T/plain"
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    cat "$T/plain"
done >"$T/big"
prefconv "$T/big" >"$T/bigwant"
killed=0 i=0
while [ $i -lt "${TRIES:-30}" ]; do
    i=$((i + 1))
    {
        prefconv "$T/big" 2>/dev/null &
        pid=$!
        sleep 0.0$((i % 3))$((i % 10))$((i % 7))
        kill -9 $pid
        wait $pid
        echo $? >"$T/writer"
    } 2>/dev/null | prefconv -o "$T/d/out" 2>/dev/null
    rc=$?
    read -r writer <"$T/writer"
    if [ $rc = 0 ]; then # finished, whether it was killed after that or not
        cmp -s "$T/d/out" "$T/bigwant" || fail "killed after $i: exit 0, cut"
    elif [ "$writer" = 137 ]; then
        killed=$((killed + 1))
        [ $rc = 4 ] || fail "killed in run $i: the reader's exit is $rc"
        [ -z "$(ls "$T/d")" ] || fail "killed: left $(ls "$T/d")"
    else
        fail "not killed, the reader's exit is $rc"
    fi
    rm -f "$T/d"/*
done
check 'some were killed' test $killed -gt 0

# A producer that fails in the middle leaves no end mark either.
prefconv --from hh-rlhf "$T/big" "$T/d/none" 2>/dev/null | prefconv -o "$T/d/out" 2>/dev/null
same 'a producer that could not start' 4 $?
gzip -c "$T/big" | head -c 100000 >"$T/cut.gz"
prefconv "$T/cut.gz" 2>/dev/null | prefconv -o "$T/d/out" 2>/dev/null
same 'a producer that failed' 4 $?
check 'nothing published' test -z "$(ls "$T/d")"
