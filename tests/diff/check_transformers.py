#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Does transformers load a model directory of ours, and give our numbers?

Usage: check_transformers.py MODEL_DIR [ROWS.jsonl]

MODEL_DIR is what preftrain wrote (or any model). ROWS.jsonl comes from
`prefshard export --to jsonl --per-token SET`, with references scored by that
very model. Every per-token log-probability is compared with an f64 forward of
transformers; more than 1e-4 apart is a failure.
"""
import json
import sys

import torch
import transformers


def token_logps(model, prompt, completion):
    ids = torch.tensor([prompt + completion])
    with torch.no_grad():
        logits = model(input_ids=ids).logits[0, len(prompt) - 1 : -1].double()
    picked = torch.tensor(completion)[:, None]
    return torch.log_softmax(logits, -1).gather(1, picked)[:, 0]


def main():
    model_dir, rows = sys.argv[1], sys.argv[2:]
    transformers.AutoTokenizer.from_pretrained(model_dir)
    model = transformers.AutoModelForCausalLM.from_pretrained(
        model_dir, dtype=torch.float64, attn_implementation="eager"
    ).eval()
    print(f"loaded {type(model).__name__} from {model_dir}")
    worst = count = 0
    for path in rows:
        for line in open(path, encoding="utf-8"):
            row = json.loads(line)
            for side in ("chosen", "rejected"):
                want = token_logps(model, row["prompt_ids"], row[side + "_ids"])
                got = torch.tensor(
                    row[f"ref_{side}_token_logps"], dtype=torch.float64
                )
                worst = max(worst, (want - got).abs().max().item())
                count += len(got)
    if rows:
        print(f"{count} log-probabilities, largest difference {worst:.3g}")
    if worst > 1e-4:
        sys.exit("the difference is above 1e-4")


main()
