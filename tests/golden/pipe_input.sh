#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Bad input, by exit status and message: one line with file and position.
. tests/lib.sh
M=samples/tiny-hh
pair() { # a pair on standard output; $1 is put into the chosen reply
    printf '{"chosen":"\\n\\nHuman: Hi\\n\\nAssistant: a%s","rejected":"\\n\\nHuman: Hi\\n\\nAssistant: b"}\n' "$1"
}
one_line() {
    same "$1: one line of message" "$(wc -l <"$T/err" | tr -d ' ')" 1
}

: >"$T/empty.jsonl"
status 3 'an empty file' prefconv "$T/empty.jsonl"
says 'an empty file' 'prefconv: .*empty\.jsonl.*empty'
one_line 'an empty file'
status 3 'an empty file of records' preftok -m $M "$T/empty.jsonl"

printf 'version https://git-lfs.github.com/spec/v1\noid sha256:%064d\nsize 12\n' 0 >"$T/lfs.jsonl"
status 3 'a git-lfs pointer' prefconv "$T/lfs.jsonl"
says 'a git-lfs pointer' 'lfs\.jsonl.*git-lfs'
one_line 'a git-lfs pointer'

head -c 20000 samples/hh/train.jsonl.gz >"$T/cut.jsonl.gz"
status 4 'a truncated gz' prefconv -o "$T/never.jsonl" "$T/cut.jsonl.gz"
says 'a truncated gz' 'cut\.jsonl\.gz.*(byte|[0-9])'
one_line 'a truncated gz'
check 'nothing is published' test ! -e "$T/never.jsonl"

{ pair 1; pair "$(printf '\377')"; pair 3; } >"$T/bad.jsonl"
status 1 'invalid UTF-8' prefconv -o "$T/kept.jsonl" "$T/bad.jsonl"
says 'invalid UTF-8' 'invalid_utf8 1'
same 'the other rows are published' "$(wc -l <"$T/kept.jsonl" | tr -d ' ')" 2
status 0 'as many as --max-bad' prefconv --max-bad 1 -f -o "$T/kept.jsonl" "$T/bad.jsonl"

pair "$(head -c 5000 /dev/zero | tr '\0' x)" >"$T/long.jsonl"
pair 2 >>"$T/long.jsonl"
status 1 'a line over --max-line' prefconv --max-line 4K -o "$T/kept2.jsonl" "$T/long.jsonl"
says 'a line over --max-line' 'line_too_long 1'
same 'the other row is published' "$(wc -l <"$T/kept2.jsonl" | tr -d ' ')" 1

pair "$(head -c 10000000 /dev/zero | tr '\0' x)" >"$T/huge.jsonl" 2>/dev/null ||
    { printf '{"chosen":"\\n\\nHuman: Hi\\n\\nAssistant: '
      head -c 10000000 /dev/zero | tr '\0' x
      printf '","rejected":"\\n\\nHuman: Hi\\n\\nAssistant: b"}\n'; } >"$T/huge.jsonl"
status 0 'a line of 10 MB' prefconv -o "$T/huge.out" "$T/huge.jsonl"
check 'it is whole' test "$(wc -c <"$T/huge.out")" -gt 10000000

status 6 'a missing file' prefconv "$T/nowhere.jsonl"
says 'a missing file' 'nowhere\.jsonl'
status 6 'a missing model' preftok -m "$T/nowhere" "$T/kept.jsonl"
says 'a missing model' 'nowhere'
status 2 'an unknown option' prefconv --frm hh-rlhf
says 'the nearest is named' '\-\-from'

# A record stream that stops without its end mark.
prefconv samples/hh/heldout.jsonl.gz >"$T/whole.jsonl"
head -c $(($(wc -c <"$T/whole.jsonl") - 1)) "$T/whole.jsonl" >"$T/open.jsonl"
status 4 'records without the last LF' preftok -m $M -o "$T/s" "$T/open.jsonl"
check 'no set is published' test ! -e "$T/s/manifest.json"
: | preftok -m $M -o "$T/s" 2>"$T/err"
same 'no byte on a pipe' $? 4
preftok -m $M "$T/whole.jsonl" >"$T/rows.prf"
for cut in 1 8 64 4096; do
    n=$(($(wc -c <"$T/rows.prf") - cut))
    head -c $n "$T/rows.prf" | refscore -m $M -o "$T/s2" 2>"$T/err"
    same "a chunk stream cut by $cut bytes" $? 4
    check 'no set is published' test ! -e "$T/s2/manifest.json"
done
