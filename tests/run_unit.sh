#!/bin/sh
# Runs TAP unit tests and sums them up: prints failing lines and the log of a
# program that died; the last line is "N passed, N failed, N skipped".
pass=0 fail=0 skip=0
for t in "$@"; do
    out=$("$t" 2>&1)
    rc=$?
    p=$(printf '%s\n' "$out" | grep -c '^ok ')
    f=$(printf '%s\n' "$out" | grep -c '^not ok ')
    s=$(printf '%s\n' "$out" | grep -c '^ok .*# skip')
    plan=$(printf '%s\n' "$out" | sed -n 's/^1\.\.\([0-9]*\)$/\1/p' | head -n 1)
    if [ $rc -ne 0 ] || [ "$((p + f))" != "${plan:-none}" ]; then
        printf '== %s (exit %d)\n%s\n' "$t" $rc "$out" | grep -v '^ok '
        [ $f -eq 0 ] && f=1
    fi
    pass=$((pass + p - s)) fail=$((fail + f)) skip=$((skip + s))
done
echo "$pass passed, $fail failed, $skip skipped"
[ $fail -eq 0 ]
