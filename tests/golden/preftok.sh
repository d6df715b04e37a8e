#!/bin/sh
# SPDX-License-Identifier: MIT
#
# preftok on the samples: ids, ways in and out, threads, damaged input.
# With SHARED set (make check-long, or by hand) also the large tokenizers:
# tests/diff/tokenizers.sh.
. tests/lib.sh

M=samples/tiny-hh
prefconv samples/hh/train.jsonl.gz >"$T/rec" || exit 1
prefconv --to messages samples/hh/train.jsonl.gz >"$T/msg" || exit 1
sum_of() {
    sha256sum | cut -d' ' -f1
}

# --- ids: hashes of rows that equal TRL's
same 'rows of texts' \
    58e3d5a1c6908314b65ef7f72887f849ed1f064786cc52e86afafa536a84f960 \
    "$(preftok -q -m $M --max-length 100000 --to jsonl "$T/rec" | sum_of)"
same 'rows of messages' \
    90fc6122959dfeb6fe0582d29a5c850cf899f5a3f3813edc1561d16e92266a56 \
    "$(preftok -q -m $M --max-length 100000 --to jsonl "$T/msg" | sum_of)"

# --- the same bytes by every way
status 0 'a set' preftok -q -m $M -o "$T/set" "$T/rec"
for j in 1 2 7; do
    preftok -q -m $M -j$j "$T/rec" >"$T/stream$j"
    status 0 "set -j$j" preftok -q -m $M -j$j -o "$T/set$j" "$T/rec"
    same_file "SHA256SUMS -j$j" "$T/set$j/SHA256SUMS" "$T/set/SHA256SUMS"
done
status 0 'through pipes' sh -c "prefconv -q samples/hh/train.jsonl.gz |
    preftok -q -m $M -o '$T/piped'"
same_file 'SHA256SUMS by pipe' "$T/piped/SHA256SUMS" "$T/set/SHA256SUMS"
status 6 'an existing set' preftok -q -m $M -o "$T/set" "$T/rec"
status 0 'replaced' preftok -q -f -m $M -o "$T/set" "$T/rec"

# --- text and back
awk '/^"/' tests/diff/tiny-hh.vec >"$T/texts"
awk '/^\[/' tests/diff/tiny-hh.vec >"$T/ids"
status 0 'text' preftok -q -m $M --text --special parse "$T/texts"
same_file 'ids of texts' "$T/out" "$T/ids"
status 0 'decode' preftok -q -m $M --decode "$T/ids"
cp "$T/out" "$T/back"
status 0 'again' preftok -q -m $M --text --special parse "$T/back"
same_file 'decoded texts' "$T/out" "$T/ids"

# --- kinds of rows
printf '%s\n' '{"prompt_ids":[5],"chosen_ids":[6],"rejected_ids":[7,8],"ref_chosen_logps":-1.5,"ref_rejected_logps":-2}' >"$T/i"
status 0 'ids' preftok -q -m $M --to jsonl "$T/i"
same 'ids row' '{"_src":"0:0:0","prompt_ids":[5],"chosen_ids":[6],"rejected_ids":[7,8],"ref_chosen_logps":-1.5,"ref_rejected_logps":-2.0}' "$(cat "$T/out")"
status 0 'ids to a set' preftok -q -m $M -o "$T/imported" "$T/i"
printf '%s\n' '{"prompt":"a","completion":" b","label":false}' >"$T/u"
status 0 'unpaired' preftok -q -m $M --to jsonl "$T/u"
same 'unpaired row' '{"_src":"0:0:0","prompt_ids":[67],"completion_ids":[278,0],"label":false}' "$(cat "$T/out")"
status 0 'unpaired to a set' preftok -q -m $M -o "$T/uset" "$T/u"
printf '%s\n' '{"prompt":"a","completion":" b"}' >"$T/s"
status 0 'seq' preftok -q -m $M --to jsonl "$T/s"
same 'seq row' '{"_src":"0:0:0","input_ids":[67,278,0],"loss_mask":[0,1,1]}' "$(cat "$T/out")"
status 0 'seq to a set' preftok -q -m $M -o "$T/sset" "$T/s"

# --- what is wrong with it
status 6 'no model' preftok -m "$T/nowhere" "$T/rec"
status 2 'no -m' preftok "$T/rec"
status 2 'not built' preftok -m $M --boundary joint "$T/rec"
status 2 'not built' preftok -m $M --explain "$T/rec"
status 2 'no template' preftok -m $M --template none "$T/msg"
: >"$T/empty"
status 3 'empty file' preftok -m $M "$T/empty"
cat "$T/rec" "$T/u" >"$T/mixed"
status 3 'mixed kinds' preftok -m $M -o "$T/x" "$T/mixed"
same 'nothing published' '' "$(ls -A "$T/x" 2>/dev/null)"
head -c 100000 "$T/rec" >"$T/cut"
status 4 'cut records' preftok -m $M -o "$T/x" "$T/cut"
same 'nothing published' '' "$(ls -A "$T/x" 2>/dev/null)"
head -n 3 "$T/rec" | head -c -1 >"$T/cut"
status 4 'no last LF' preftok -m $M -o "$T/x" "$T/cut"
status 4 'no byte on a pipe' sh -c ": | preftok -m $M -o '$T/x'"
{
    head -n 2 "$T/rec"
    printf '{"prompt":"\377","chosen":"a","rejected":"b"}\n{"prompt":"a"\n[1]\n'
} >"$T/bad"
status 1 'damaged lines' preftok -m $M --rejects "$T/rej" -o "$T/y" "$T/bad"
same 'reasons' 'invalid_utf8 invalid_json not_an_object' \
    "$(sed 's/.*"reason":"\([a-z_0-9]*\)".*/\1/' "$T/rej" | tr '\n' ' ' | sed 's/ $//')"
status 0 'that many are allowed' preftok -q -m $M --max-bad 3 -o "$T/z" "$T/bad"
printf '%s\n' '{"prompt_ids":[5],"chosen_ids":[6],"rejected_ids":[4000]}' >"$T/i"
cat "$T/i" >>"$T/i2"
printf '%s\n' '{"prompt_ids":[5],"chosen_ids":[6],"rejected_ids":[4]}' >>"$T/i2"
status 1 'an id outside the vocabulary' preftok -m $M -o "$T/v" "$T/i2"
status 3 'nothing kept' preftok -m $M -o "$T/w" "$T/i"
