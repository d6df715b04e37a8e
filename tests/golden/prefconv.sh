#!/bin/sh
# SPDX-License-Identifier: MIT
#
# prefconv on the samples: counts, shapes, every way in and out, damaged input.
. tests/lib.sh

S=samples/hh/train.jsonl.gz
stat_of() { # FIELD FILE
    sed -n "s/.*\"$1\":\([0-9]*\).*/\1/p" "$2"
}

# --- the samples
status 0 'samples' prefconv --stats "$T/stats" --rejects "$T/rej" "$S"
cp "$T/out" "$T/want"
same 'rows in' 150 "$(stat_of rows_in "$T/stats")"
same 'rows out' 150 "$(wc -l <"$T/want")"
same 'rejects' 0 "$(wc -c <"$T/rej")"
same 'bytes of all rows' \
    895a9b67069817ad2147228c6c30e16e63b065c7a1c45b719db9001ffb03a24f "$(sha256sum <"$T/want" | cut -d' ' -f1)"
gzip -dc "$S" >"$T/plain.jsonl"

# --- threads, codecs, pipes: the same bytes
for j in 1 2 7; do
    status 0 "-j$j" prefconv -j$j "$S"
    same_file "-j$j" "$T/out" "$T/want"
done
prefconv "$T/plain.jsonl" >"$T/a"
same_file 'plain' "$T/a" "$T/want"
prefconv <"$T/plain.jsonl" >"$T/a"
same_file 'standard input' "$T/a" "$T/want"
prefconv - <"$S" >"$T/a"
same_file 'gzip on standard input' "$T/a" "$T/want"
# shellcheck disable=SC2002
cat "$T/plain.jsonl" | prefconv | cat >"$T/a"
same_file 'pipes' "$T/a" "$T/want"
prefconv "$S" | prefconv | prefconv -j1 >"$T/a"
same_file 'records go through unchanged' "$T/a" "$T/want"
if command -v zstd >/dev/null; then
    zstd -q "$T/plain.jsonl" -o "$T/x.zst"
    prefconv "$T/x.zst" >"$T/a"
    same_file 'zstd' "$T/a" "$T/want"
else
    skip 'no zstd command'
fi
head -c -1 "$T/plain.jsonl" >"$T/nolf.jsonl"
prefconv "$T/nolf.jsonl" >"$T/a"
same_file 'a plain file without its last LF' "$T/a" "$T/want"
printf '\357\273\277' | cat - "$T/plain.jsonl" >"$T/bom.jsonl"
prefconv "$T/bom.jsonl" | sed 's/"_src":"[^"]*"//' >"$T/a"
sed 's/"_src":"[^"]*"//' "$T/want" >"$T/b"
same_file 'byte order mark' "$T/a" "$T/b"

# --- _src: file, offset of the line, unique over several files
prefconv "$T/plain.jsonl" samples/hh/heldout.jsonl.gz >"$T/a"
same 'rows of two files' 200 "$(wc -l <"$T/a")"
same 'file index' 50 "$(grep -c '^{"_src":"1:' "$T/a")"
same '_src unique' 200 "$(cut -d'"' -f4 "$T/a" | sort -u | wc -l)"
off=$(sed -n 100p "$T/want" | cut -d: -f3)
tail -c +$((off + 1)) "$T/plain.jsonl" | head -n 1 >"$T/a"
sed -n 100p "$T/plain.jsonl" >"$T/b"
same_file '_src finds the line' "$T/a" "$T/b"

# --- shapes
status 0 'messages' prefconv --to messages "$S"
same 'roles' 150 "$(grep -c '"chosen":\[{"role":"assistant","content":' "$T/out")"
same 'no markers left' 0 "$(grep -c 'Assistant:' "$T/out")"
cp "$T/out" "$T/messages"
status 0 'messages again' prefconv --to messages "$T/messages"
same_file 'messages stay' "$T/out" "$T/messages"
status 0 'sft' prefconv --to sft "$S"
same 'sft fields' 150 "$(grep -c '"prompt":.*"completion":' "$T/out")"
same 'sft has no pair' 0 "$(grep -c '"rejected":' "$T/out")"
status 0 'pairs' prefconv --to pairs "$S"
same_file 'pairs' "$T/out" "$T/want"
status 3 'no pairs in messages' prefconv --to pairs tests/accept/trl/seq.jsonl
says 'kind' 'prefconv: .*seq.jsonl:1: a record of kind seq'
status 3 'mixed kinds' prefconv tests/accept/trl/seq.jsonl tests/accept/trl/ids.jsonl
says 'mixed' 'record of kind ids after records of kind seq'

# --- limits and output files
status 0 'limit' prefconv --limit 7 "$S"
head -n 7 "$T/want" >"$T/b"
same_file 'limit' "$T/out" "$T/b"
status 0 'output' prefconv -o "$T/o.jsonl" "$S"
same_file 'output' "$T/o.jsonl" "$T/want"
status 6 'output exists' prefconv -o "$T/o.jsonl" "$S"
says 'exists' 'o.jsonl: exists already'
status 0 'force' prefconv -f -o "$T/o.jsonl" --limit 3 "$S"
same 'replaced' 3 "$(wc -l <"$T/o.jsonl")"
status 6 'no such directory' prefconv -o "$T/none/x" "$S"
status 0 'formats' prefconv --list-formats
same 'formats' 2 "$(wc -l <"$T/out")"

# --- usage
status 2 'unbuilt' prefconv --dedup exact "$S"
says 'unbuilt' '--dedup is not available'
status 2 'unbuilt choice' prefconv --to coh "$S"
says 'unbuilt choice' '--to coh is not available'
status 2 'stdin twice' prefconv - -

# --- input that is not a dataset: before anything is written
: >"$T/empty"
status 3 'empty file' prefconv -o "$T/x" "$T/empty"
says 'empty' 'prefconv: .*/empty: empty file'
printf 'version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n' >"$T/lfs.jsonl.gz"
status 3 'git-lfs pointer' prefconv "$S" "$T/lfs.jsonl.gz"
says 'lfs' 'git-lfs pointer: the data was never downloaded'
same 'nothing written before all are opened' 0 "$(wc -c <"$T/out")"
status 6 'missing file' prefconv "$S" "$T/none"
says 'missing' 'none: cannot open: No such file'
status 6 'a directory' prefconv "$T"
printf '{"question":1}\n' >"$T/q"
status 3 'no format' prefconv "$T/q"
says 'no format' "fields 'question'"
printf '\n \n' >"$T/blank"
status 3 'blank' prefconv --from trl -o "$T/x" "$T/blank"
says 'blank' 'no row was kept'
grep -v . "$T/want" | status 3 'all rejected' prefconv --from hh-rlhf "$T/q"
check 'nothing published' test ! -e "$T/x"

# --- truncated
head -c 9000 "$S" >"$T/cut.gz"
for j in 1 2; do
    status 4 'truncated gzip' prefconv -j$j -o "$T/x" "$T/cut.gz"
    says 'truncated' 'cut.gz: byte [0-9]+: truncated gzip data'
done
{ cat "$S"; echo junk; } >"$T/junk.gz"
status 3 'junk after gzip' prefconv -o "$T/x" "$T/junk.gz"
head -c 5000 "$T/want" >"$T/cutrec"
status 4 'records cut in a line' prefconv -o "$T/x" "$T/cutrec"
head -n 5 "$T/want" | head -c -1 >"$T/cutrec"
status 4 'records without end mark' prefconv -o "$T/x" "$T/cutrec"
says 'end mark' 'without their end mark'
for n in 1 3 7 20; do
    head -c $n "$T/want" >"$T/cutrec"
    status 4 "$n bytes of a record" prefconv --from trl -o "$T/x" "$T/cutrec"
done
head -c 0 "$T/want" | prefconv -o "$T/x" 2>/dev/null
same 'zero bytes on a pipe' 4 $?
printf '{"prompt":"a","chosen":"b","rej' | prefconv --from trl -o "$T/x" 2>/dev/null
same 'half a line on a pipe' 4 $?
check 'nothing published' test ! -e "$T/x"
check 'no temporary left' sh -c "! ls $T | grep tmp"

# --- damaged rows: rejected, the rest published, exit 1
{ sed -n 1p "$T/plain.jsonl"; printf '{"chosen":"\377"}\n'; sed -n 2p "$T/plain.jsonl"; } >"$T/bad"
status 1 'invalid UTF-8' prefconv -o "$T/y" --rejects "$T/rej" "$T/bad"
same 'published' 2 "$(wc -l <"$T/y")"
says 'reported' '1 of 3 rows rejected as damaged'
check 'reject row' grep -q '"line":2,"offset":[0-9]*,"reason":"invalid_utf8".*"row":"{\\"chosen\\":\\"�\\"}"' "$T/rej"
status 0 'max-bad' prefconv --max-bad 1 "$T/bad"
status 0 'max-bad percent' prefconv --max-bad 34% "$T/bad"
status 1 'max-line' prefconv --max-line 900 --rejects "$T/rej" "$S"
check 'line_too_long' grep -q '"reason":"line_too_long"' "$T/rej"
same 'the rest is kept' 150 "$(($(wc -l <"$T/out") + $(wc -l <"$T/rej")))"
for j in 1 2 7; do
    prefconv -q -j$j --max-line 900 --rejects "$T/rej$j" "$S" >"$T/out$j"
done
same_file 'rejects for every -j' "$T/rej1" "$T/rej7"
same_file 'output for every -j' "$T/out1" "$T/out7"
awk 'BEGIN { s = "x"; while (length(s) < 10000000) s = s s
    printf "{\"prompt\":\"%s\",\"chosen\":\"b\",\"rejected\":\"c\"}\n", s }' >"$T/long"
status 0 'a line of 16 MB' prefconv "$T/long"
same 'long line' 1 "$(wc -l <"$T/out")"
# a reader that goes away is not an error message
prefconv "$S" 2>"$T/err" | head -n 1 >/dev/null
same 'quiet when the reader leaves' '' "$(cat "$T/err")"
