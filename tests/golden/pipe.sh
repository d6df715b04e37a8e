#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The whole pipe: the same sets through pipes and through files, with one
# thread and with two; resumed work; step 0; parts that do not belong together.
. tests/lib.sh
M=samples/tiny-hh
hh=samples/hh/train.jsonl.gz

# --- the same bytes for every number of threads, through pipes and files
for j in 1 2; do
    prefconv -j$j $hh | preftok -j$j -m $M | refscore -j$j -m $M -o "$T/pipe$j"
    check "pipe, -j$j" test -f "$T/pipe$j/manifest.json"
done
prefconv -o "$T/records.jsonl" $hh
preftok -m $M "$T/records.jsonl" >"$T/rows.prf"
refscore -m $M -o "$T/files" "$T/rows.prf"
preftok -m $M -o "$T/inplace" "$T/records.jsonl"
refscore -m $M --in-place "$T/inplace"
for d in pipe2 files inplace; do
    same_file "$d: SHA256SUMS" "$T/$d/SHA256SUMS" "$T/pipe1/SHA256SUMS"
    (cd "$T/$d" && sha256sum --quiet -c SHA256SUMS) && pass || fail "$d: sums"
    status 0 "$d: verify" prefshard verify "$T/$d"
done
prefconv $hh >"$T/stream.jsonl"
same_file 'records on stdout and in a file' "$T/stream.jsonl" "$T/records.jsonl"

# --- a filter without -o, and what is on disk, hold the same rows
prefconv $hh | preftok -m $M | refscore -m $M >"$T/scored.prf"
prefshard export --to jsonl --per-token "$T/scored.prf" >"$T/a.jsonl"
prefshard export --to jsonl --per-token "$T/pipe1" >"$T/b.jsonl"
same_file 'exports of a stream and a set' "$T/a.jsonl" "$T/b.jsonl"
same 'rows' "$(wc -l <"$T/b.jsonl" | tr -d ' ')" 150

# --- step 0: rewards are exactly 0, the loss is ln 2
preftrain -q --model $M --train_dataset "$T/pipe1" --output_dir "$T/run" \
    --max_steps 2 --logging_steps 1 --per_device_train_batch_size 8 \
    --learning_rate 1e-4 --warmup_steps 0
first=$(head -n 1 "$T/run/metrics.jsonl")
case $first in
*'"loss":0.69314718'*) pass ;;
*) fail "step 0: $first" ;;
esac
for key in chosen rejected margins accuracies; do
    case $first in
    *"\"rewards/$key\":0,"* | *"\"rewards/$key\":0.0,"* | *"\"rewards/$key\":0}"*) pass ;;
    *) fail "step 0: rewards/$key in $first" ;;
    esac
done
check 'a model is written' test -s "$T/run/model.safetensors"
check 'with its tokenizer' cmp $M/tokenizer.json "$T/run/tokenizer.json"

# --- identity
status 6 'a model that is missing' refscore -m "$T/nowhere" "$T/rows.prf" -o "$T/x"
says 'its name' 'refscore: .*nowhere.*no such model'
# The weights have moved: these references are another model's.
status 5 'references of another model' preftrain --model "$T/run" \
    --train_dataset "$T/pipe1" --output_dir "$T/run2" --max_steps 1
says 'the way out' '--ref'
check 'nothing is trained' test ! -e "$T/run2/model.safetensors"
status 0 'the same, asked for' preftrain --model "$T/run" --ref tiny-hh \
    --train_dataset "$T/pipe1" --output_dir "$T/run2" --max_steps 1
# A vocabulary in which two tokens have changed places.
mkdir "$T/other"
cp $M/config.json $M/model.safetensors "$T/other"
sed 's/"a":\([^,]*\),"b":\([^,]*\),/"b":\1,"a":\2,/; s/"!": \([0-9]*\),/"!SWAP": \1,/; s/"\\"": \([0-9]*\),/"!": \1,/; s/"!SWAP"/"\\""/' \
    $M/tokenizer.json >"$T/other/tokenizer.json"
check 'the other vocabulary differs' test "$(cksum <$M/tokenizer.json)" != \
    "$(cksum <"$T/other/tokenizer.json")"
status 5 'a model of another vocabulary' refscore -m "$T/other" -o "$T/x" "$T/rows.prf"
status 5 'and to train it' preftrain --model "$T/other" --ref tiny-hh \
    --train_dataset "$T/pipe1" --output_dir "$T/x" --max_steps 1
# A sidecar that belongs to other rows.
prefconv samples/hh/heldout.jsonl.gz | preftok -m $M | refscore -m $M -o "$T/held"
cp -r "$T/held" "$T/mixed"
for f in "$T"/pipe1/*.ref "$T"/pipe1/*.ref.json; do cp "$f" "$T/mixed/"; done
status 5 'a sidecar of other rows' prefshard verify "$T/mixed"
status 5 'and to train on it' preftrain --model $M --train_dataset "$T/mixed" \
    --output_dir "$T/x" --max_steps 1
