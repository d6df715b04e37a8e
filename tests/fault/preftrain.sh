#!/bin/sh
# SPDX-License-Identifier: MIT
#
# preftrain on real rows through the real pipe: step 0 exact, threads and
# splits change no byte, killed and resumed runs end alike, and rows,
# references and models that do not belong together are refused.
. tests/lib.sh

M=$T/m
mkdir "$M"
cp tests/golden/models/llama/config.json tests/golden/models/llama/model.safetensors "$M"
cp samples/tiny-hh/tokenizer.json samples/tiny-hh/tokenizer_config.json "$M"
prefconv -q samples/hh/train.jsonl.gz |
    preftok -q -m "$M" --max-length 400 --limit 40 -o "$T/rows"
cp -r "$T/rows" "$T/bare"
check 'refscore' refscore -q -m "$M" --name llama --in-place "$T/rows"

# entry FILE KEY LINE : a value of metrics.jsonl
entry() {
    sed -n "${3}p" "$1" | tr ',{}' '\n\n\n' | sed -n "s|^\"$2\":||p"
}
opts="--model $M --train_dataset $T/rows --learning_rate 2e-3
    --per_device_train_batch_size 4 --gradient_accumulation_steps 2
    --logging_steps 1 --max_steps 8 --save_steps 2 -q"

# shellcheck disable=SC2086
check 'a run' preftrain $opts -j1 --output_dir "$T/one"
same 'loss of step 1' "$(entry "$T/one/metrics.jsonl" loss 1)" 0.6931471805599453
for k in chosen rejected accuracies margins; do
    same "rewards/$k of step 1" "$(entry "$T/one/metrics.jsonl" rewards/$k 1)" 0.0
done
for f in config.json model.safetensors tokenizer.json tokenizer_config.json; do
    check "output has $f" [ -s "$T/one/$f" ]
done
for f in model.safetensors optimizer.safetensors trainer_state.json tokenizer.json; do
    check "checkpoint has $f" [ -s "$T/one/checkpoint-2/$f" ]
done
# shellcheck disable=SC2086
check 'two threads' preftrain $opts -j2 --output_dir "$T/two"
same_file 'two threads: weights' "$T/one/model.safetensors" "$T/two/model.safetensors"
# Within an epoch: its last micro-batch is short.
for b in 2 4 8; do
    # shellcheck disable=SC2086
    check "micro-batches of $b" preftrain $opts --max_steps 4 --output_dir "$T/split$b" \
        --per_device_train_batch_size $b --gradient_accumulation_steps $((8 / b))
    same_file "micro-batches of $b: weights" "$T/split2/model.safetensors" \
        "$T/split$b/model.safetensors"
done

# shellcheck disable=SC2086
check 'two losses, two evaluation sets' preftrain $opts --max_steps 2 --output_dir "$T/mix" \
    --loss_type sigmoid ipo --loss_weights 1 0.5 --eval_dataset a="$T/rows" b="$T/rows" \
    --eval_on_start
same 'loss of set a before step 1' "$(entry "$T/mix/metrics.jsonl" eval_a_loss 1)" 13.193147180559945
same 'loss of set b before step 1' "$(entry "$T/mix/metrics.jsonl" eval_b_loss 2)" 13.193147180559945

# Killed at growing delays, resumed until it ends.
long="$opts --max_steps 30 --save_total_limit 2"
# shellcheck disable=SC2086
check 'a long run' preftrain $long --output_dir "$T/long"
kills=0
for ms in 015 040 080 120 160 200 250 300 400 600 900; do
    # shellcheck disable=SC2086
    preftrain $long --output_dir "$T/killed" --resume_from_checkpoint true 2>/dev/null &
    pid=$!
    sleep 0.$ms
    kill -9 $pid 2>/dev/null
    wait $pid 2>/dev/null && break
    kills=$((kills + 1))
done
# shellcheck disable=SC2086
check 'the last resume' preftrain $long --output_dir "$T/killed" --resume_from_checkpoint true
check 'some runs were killed' [ $kills -ge 1 ]
same_file "killed $kills times: weights" "$T/long/model.safetensors" "$T/killed/model.safetensors"
check 'at most two checkpoints' [ "$(ls -d "$T"/killed/checkpoint-* | wc -l)" -le 2 ]

# SIGTERM saves and ends by the signal.
# shellcheck disable=SC2086
preftrain $opts --max_steps 100000 --save_steps 100000 --output_dir "$T/term" &
pid=$!
sleep 0.5
kill -TERM $pid
wait $pid 2>/dev/null
same 'status after SIGTERM' $? 143
check 'a checkpoint after SIGTERM' [ -n "$(ls -d "$T"/term/checkpoint-* 2>/dev/null)" ]

# Refusals.
# shellcheck disable=SC2086
status 6 'a directory with a run' preftrain $opts --output_dir "$T/one"
# shellcheck disable=SC2086
status 6 'evaluation into a run' preftrain $opts --do_train false \
    --eval_dataset "$T/rows" --output_dir "$T/one"
# shellcheck disable=SC2086
status 2 'training in place' preftrain $opts --output_dir "$M"
# shellcheck disable=SC2086
status 6 'no such model' preftrain $opts --output_dir "$T/x" --model "$T/none"
# shellcheck disable=SC2086
status 6 'no such rows' preftrain $opts --output_dir "$T/x" --train_dataset "$T/none"
# shellcheck disable=SC2086
status 5 'no references' preftrain $opts --output_dir "$T/x" --train_dataset "$T/bare"
mkdir "$T/other"
cp "$M"/* "$T/other"
cp "$T/one/model.safetensors" "$T/other"
# shellcheck disable=SC2086
status 5 'references by other weights' preftrain $opts --output_dir "$T/x" --model "$T/other"
# shellcheck disable=SC2086
status 0 'other weights on purpose' preftrain $opts --max_steps 1 --output_dir "$T/x" \
    --model "$T/other" --ref llama
# shellcheck disable=SC2086
status 5 'resume with other start weights' preftrain $opts --output_dir "$T/y" \
    --model "$T/other" --ref llama --resume_from_checkpoint "$T/one/checkpoint-2"
sed 's/<|im_start|>/<|im_begin|>/' "$M/tokenizer.json" >"$T/other/tokenizer.json"
# shellcheck disable=SC2086
status 5 'a model of another vocabulary' preftrain $opts --output_dir "$T/z" \
    --model "$T/other" --ref llama
says 'a model of another vocabulary' 'another vocabulary'
cp -r "$T/rows" "$T/flip"
chmod -R u+w "$T/flip"
ref=$(ls "$T"/flip/*.ref)
printf '\377' | dd of="$ref" bs=1 seek=$(($(wc -c <"$ref") / 2)) conv=notrunc 2>/dev/null
# shellcheck disable=SC2086
status 3 'a damaged reference' preftrain $opts --output_dir "$T/z" --train_dataset "$T/flip"
cp -r "$T/rows" "$T/cut"
chmod -R u+w "$T/cut"
rm "$T"/cut/*.ref
# shellcheck disable=SC2086
preftrain $opts --output_dir "$T/z" --train_dataset "$T/cut" 2>/dev/null
check 'a missing sidecar' [ $? -ge 3 ]
check 'refused runs leave nothing' [ ! -e "$T/z" ]
for o in --use_peft --load_in_4bit --sync_ref_model --rpo_alpha=1 --fp16 \
    --loss_type=kto --loss_type=aot --optim=adafactor --lr_scheduler_type=greedy \
    --label_smoothing=0.1 --logging_steps=1.5 --config=x --dataset_name=x; do
    # shellcheck disable=SC2086
    status 2 "$o" preftrain $opts --output_dir "$T/z" $o
done

# Imported sums.
prefconv -q samples/records/ids-with-references.jsonl |
    preftok -q -m "$M" -o "$T/imported"
# shellcheck disable=SC2086
status 5 'imported references' preftrain $opts --output_dir "$T/z" --train_dataset "$T/imported"
# shellcheck disable=SC2086
status 0 'imported references, allowed' preftrain $opts --max_steps 1 --output_dir "$T/imp" \
    --train_dataset "$T/imported" --allow-imported-refs
