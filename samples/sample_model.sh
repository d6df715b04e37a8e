#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Trains samples/tiny-hh: from random weights, on the chosen transcripts of
# all lines of the shared hh-rlhf file that samples/hh does not hold. The seed
# is fixed. `make sample-model SHARED=DIR` runs it; DIR holds
# data/hh-rlhf/harmless-base-test.jsonl.gz. The result replaces
# samples/tiny-hh/model.safetensors and the figures in its README.md.
set -eu
BIN=${BIN:-$PWD/build/rel/bin}
PATH=$BIN:$PATH
data=${SHARED:-../shared}/data/hh-rlhf/harmless-base-test.jsonl.gz
model=samples/tiny-hh
run=build/sample-model
[ -f "$data" ] || {
    echo "sample-model: $data: no such file (set SHARED=)" >&2
    exit 6
}
rm -rf $run
mkdir -p $run

echo 'rows: every line that samples/hh does not hold'
gzip -dc "$data" | awk 'NR == FNR { taken[$1]; next } !((FNR - 1) in taken)' \
    samples/hh/rows.txt - >$run/rest.jsonl
prefconv --to sft $run/rest.jsonl | preftok -m $model --loss-on all -o $run/train
prefconv --to sft samples/hh/heldout.jsonl.gz | preftok -m $model --loss-on all -o $run/heldout

preftrain --model $model --init random --seed 1 \
    --train_dataset $run/train --eval_dataset $run/heldout \
    --output_dir $run/out --save_dtype bfloat16 \
    --per_device_train_batch_size 16 --num_train_epochs "${EPOCHS:-6}" \
    --learning_rate 3e-3 --lr_scheduler_type cosine --warmup_steps 40 \
    --weight_decay 0.1 --adam_beta2 0.95 --max_grad_norm 1 \
    --logging_steps 20 --eval_strategy epoch
cp $run/out/model.safetensors $model/model.safetensors
preftrain --model $model --do_train false --eval_dataset $run/heldout \
    --output_dir $run/eval
cat $run/eval/metrics.jsonl
