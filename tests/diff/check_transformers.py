#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Does transformers load what preftrain writes, and give refscore's numbers?

Runs the pipe on samples/: references, two training steps, then references by
the trained model. Every per-token log-probability of that model is compared
with an f64 forward of transformers; one more than 1e-4 apart is a failure.
Needs torch and transformers; BIN is the directory of the tools.
"""
import json
import os
import subprocess
import sys
import tempfile

import torch
import transformers

MODEL = "samples/tiny-hh"
DATA = "samples/hh/heldout.jsonl.gz"
BOUND = 1e-4


def shell(command, directory):
    env = dict(os.environ)
    env["PATH"] = env["BIN"] + ":" + env["PATH"]
    env["D"] = directory
    subprocess.run(["sh", "-ec", command], check=True, env=env)


def token_logps(model, prompt, completion):
    ids = torch.tensor([prompt + completion])
    with torch.no_grad():
        logits = model(input_ids=ids).logits[0, len(prompt) - 1 : -1]
    picked = torch.tensor(completion)[:, None]
    return torch.log_softmax(logits, -1).gather(1, picked)[:, 0]


def compare(model, rows):
    worst = count = 0
    for row in map(json.loads, rows):
        for side in ("chosen", "rejected"):
            want = token_logps(model, row["prompt_ids"], row[side + "_ids"])
            got = torch.tensor(
                row[f"ref_{side}_token_logps"], dtype=torch.float64
            )
            worst = max(worst, (want - got).abs().max().item())
            count += len(got)
    return worst, count


def main():
    with tempfile.TemporaryDirectory() as directory:
        shell(
            f"""prefconv {DATA} | preftok -q -m {MODEL} |
                refscore -q -m {MODEL} -o $D/set
            preftrain -q --model {MODEL} --train_dataset $D/set \
                --output_dir $D/run --max_steps 2 --learning_rate 1e-3
            prefconv {DATA} | preftok -q -m {MODEL} |
                refscore -q -m $D/run --name run -o $D/scored
            prefshard export --to jsonl --per-token $D/scored >$D/rows""",
            directory,
        )
        model, info = transformers.AutoModelForCausalLM.from_pretrained(
            directory + "/run",
            dtype=torch.float64,
            attn_implementation="eager",
            output_loading_info=True,
        )
        if any(info.values()):
            sys.exit(f"transformers says of the saved model: {info}")
        transformers.AutoTokenizer.from_pretrained(directory + "/run")
        with open(directory + "/rows", encoding="utf-8") as rows:
            worst, count = compare(model.eval(), rows)
    print(
        f"{type(model).__name__}: {count} log-probabilities, "
        f"largest difference {worst:.2g}"
    )
    if count == 0 or worst > BOUND:
        sys.exit(f"wanted some, none more than {BOUND} apart")


main()
