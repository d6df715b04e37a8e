#!/bin/sh
# SPDX-License-Identifier: MIT
#
# tokenizers.sh [SHARED] : the large tokenizers (SHARED/data/tokenizers,
# SHARED/golden/tokenizer) against ids of Hugging Face tokenizers 0.23.2: the
# committed vectors, and a hash of the ids of every text of the hh-rlhf file
# (whole transcripts, prompts, replies). tests/gen/make_tokenizer_vectors.py
# made them. Skipped without SHARED.
. tests/lib.sh

shared=${1:-${SHARED:-}}
hh=$shared/data/hh-rlhf/harmless-base-test.jsonl.gz
if [ -z "$shared" ] || [ ! -f "$hh" ]; then
    skip 'the large tokenizers: no SHARED'
    exit 0
fi
gzip -dc "$hh" |
    sed -E 's/^\{"chosen": ?(".*"), ?"rejected": ?(".*")\}$/\1\n\2/' >"$T/texts"
prefconv -q "$hh" | sed -E \
    's/^\{.*"prompt":(".*"),"chosen":(".*"),"rejected":(".*")\}$/\1\n\2\n\3/' \
    >>"$T/texts"
same 'texts' 11533 "$(wc -l <"$T/texts")"

try() { # NAME MODEL
    vec=tests/diff/$1.vec
    awk '/^"/' "$vec" >"$T/in"
    awk '/^\[/' "$vec" >"$T/want"
    status 0 "$1" preftok -q -m "$2" --text --special parse "$T/in"
    same_file "$1: vectors" "$T/out" "$T/want"
    status 0 "$1: all texts" preftok -q -m "$2" --text --special parse "$T/texts"
    same "$1: ids of all texts" "$(sha256sum <"$T/out" | cut -d' ' -f1)" \
        "$(sed -n 's/^# ids-sha256 //p' "$vec")"
}
for name in gpt2 gpt-neox qwen2.5; do
    try "$name" "$shared/data/tokenizers/$name.json.zst"
done
try tiny-hh "$shared/golden/tokenizer"
