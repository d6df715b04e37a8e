#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes tests/diff/NAME.vec from Hugging Face tokenizers 0.23.2.

  make_tokenizer_vectors.py NAME tokenizer.json hh.jsonl.gz > NAME.vec

Lines: "# ids-sha256 HEX", the hash of the id arrays (as preftok --text writes
them) of all texts that tests/diff/check_tokenizers.sh makes of the hh file;
then pairs of lines: a text as a JSON string, its ids as a JSON array. The
first half of the pairs are texts of the hh file, the others strings that
splitting, normalising or added tokens treat in a special way.
"""
import gzip
import hashlib
import json
import random
import sys

from tokenizers import Tokenizer, __version__

assert __version__ == "0.23.2"
MARK = "\n\nAssistant:"
PARTS = [
    " ", "  ", "\n", "\r\n", "\t", "a", "Be", "'", "'s", "'S", "\u017f",
    "'\u017f", "'re", "'LL", "'d", "1", "23", "4567", "!", "?.", "...",
    "\u00e9", "e\u0301", "\u0301\u0323", "\u00df", "\u65e5\u672c", "\ud55c",
    "\u1112\u1161\u11a8", "\uac00\u11a7", "\U0001f44d\U0001f3fd", "\u200d",
    "\u00a0", "\u3000", "\u180e", "\u2028", "\x85", "\x1f", "\0", "\u0663",
    "\u2165", "\u00bd", "\u00b2", "\u0958", "\u2126", "\U00011938",
    "\U00011935\U00011930", "\U0001d15e", "\ufb01", "\ufeff", "\u1c89",
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<tool_call>", "     ",
    "                        ", "_", "/", "\\", "\"", "Hello", " world",
    " the", "<", "|>", "\u01c5", "\u02b0", "x" * 40,
]


def dump(x):
    return json.dumps(x, ensure_ascii=False, separators=(",", ":"))


def hh_texts(path):
    rows = [json.loads(x) for x in gzip.open(path, "rt", encoding="utf-8")]
    texts = [t for r in rows for t in (r["chosen"], r["rejected"])]
    for r in rows:
        c, j = r["chosen"], r["rejected"]
        ic, ij = c.rfind(MARK) + len(MARK), j.rfind(MARK) + len(MARK)
        if c[:ic] == j[:ij] and c[ic:].strip() and j[ij:].strip():
            texts += [c[:ic], c[ic:], j[ij:]]
    return texts


def main():
    name, path, hh = sys.argv[1:]
    data = open(path, "rb").read()
    tok = Tokenizer.from_str(data.decode())

    def ids(texts):
        return [e.ids for e in tok.encode_batch(texts,
                                                add_special_tokens=False)]

    texts = hh_texts(hh)
    h = hashlib.sha256()
    for x in ids(texts):
        h.update(dump(x).encode() + b"\n")
    print("# ids-sha256", h.hexdigest())
    rnd = random.Random(name)
    short = [t for t in texts if 0 < len(t) < 400]
    some = rnd.sample(short, 100) + [
        "".join(rnd.choice(PARTS) for _ in range(rnd.randrange(1, 14)))
        for _ in range(98)] + ["".join(PARTS), ""]
    for t, x in zip(some, ids(some)):
        print(dump(t))
        print(dump(x))


main()
