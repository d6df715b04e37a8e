#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A second reader of shard sets, written from docs/formats/shard.md alone.

    second_shard_reader.py DIR [REF] > rows.jsonl

prints what `prefshard export --to trl --per-token` prints for pairs. Needs
numpy; with the xxhash module it checks every hash, without it only SHA-256."""
import hashlib
import json
import os
import struct
import sys

import numpy as np

try:
    import xxhash
except ImportError:
    xxhash = None

M64 = (1 << 64) - 1
TYPES = {66: "u1", 72: "<u2", 73: "<u4", 81: "<u8", 102: "<f4", 100: "<f8"}


def need(ok, what):
    if not ok:
        sys.exit("damaged: " + what)


def mix64(x):
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & M64
    x = (x ^ x >> 27) * 0x94D049BB133111EB & M64
    return x ^ x >> 31


def check(data, seed, want, what):
    need(xxhash is None or xxhash.xxh3_64_intdigest(data, seed) == want, what)


def chunk(path):
    b = open(path, "rb").read()
    need(b[:8] == b"\x89PRF\r\n\x1a\n" and b[8:10] == b"\1\0", "magic")
    kind, size, seq, first, n, ns, inc = struct.unpack_from("<IQQQIII", b, 12)
    seed = struct.unpack_from("<Q", b, 64)[0] ^ mix64(kind << 56 | (seq + 1))
    table_hash, head_hash = struct.unpack_from("<QQ", b, 112)
    check(b[:120], seed, head_hash, "header")
    need(size == len(b) and inc == 0 and not any(b[96:112]), "header fields")
    check(b[128:128 + 64 * ns], seed, table_hash, "section table")
    at, sec, blocks = 128 + 64 * ns, {}, []
    for s in range(ns):
        name, dt, codec, fl, log2, z, off, stored, count, hb = \
            struct.unpack_from("<8sBBBBIQQQQ", b, 128 + 64 * s)
        need(off == at and hb == len(blocks) and codec == 0, "section place")
        sec[name.rstrip(b"\0").decode()] = np.frombuffer(
            b, TYPES[dt], count, off)
        for k in range(0, stored, 1 << 20):
            bs = seed ^ mix64((s + 1) << 40 | ((k >> 20) + 1))
            blocks.append((b[off + k:off + min(k + (1 << 20), stored)], bs))
        at = (off + stored + 63) // 64 * 64
        need(not any(b[off + stored:at]), "padding")
    tail = size - 64
    magic, again, hashes = struct.unpack_from("<8sQQ", b, tail)
    trailer = struct.unpack_from("<Q", b, tail + 56)[0]
    need(magic == b"\x89prf\r\n\x1a\n" and again == size, "trailer")
    check(b[tail:tail + 56], seed, trailer, "trailer")
    check(b[at:at + 8 * len(blocks)], seed, hashes, "block hashes")
    for i, (data, bs) in enumerate(blocks):
        check(data, bs, struct.unpack_from("<Q", b, at + 8 * i)[0], "block")
    need(not any(b[at + 8 * len(blocks):tail]), "padding")
    return {"kind": kind, "first": first, "n": n, "K": b[57],
            "recipe": b[64:96], "trailer": "%016x" % trailer, **sec}


def manifest(path, key):
    raw = open(path, "rb").read()
    body = raw[raw.index(b'"%s":' % key.encode()) + len(key) + 3:-2]
    digest = hashlib.sha256(body).hexdigest()
    need(raw == b'{"digest":"%s","%s":%s}\n'
         % (digest.encode(), key.encode(), body), path)
    return json.loads(body)


def main(where, ref=None):
    man = manifest(os.path.join(where, "manifest.json"), "set")
    refs = ref and manifest(os.path.join(where, ref + ".ref.json"), "ref")
    need(not refs or refs["set_id"] == man["set_id"], "foreign reference")
    h = hashlib.sha256(bytes.fromhex(man["recipe_id"]))
    for i, listed in enumerate(man["shards"]):
        c = chunk(os.path.join(where, listed["file"]))
        need(c["trailer"] == listed["trailer"], "not the shard listed")
        h.update(c["row_key"].tobytes())
        r = refs and chunk(os.path.join(where, refs["shards"][i]["file"]))
        need(not r or r["trailer"] == refs["shards"][i]["trailer"], "sidecar")
        done = 0
        for k in range(c["n"]):
            lo, hi = int(c["row_off"][k]), int(c["row_off"][k + 1])
            p = int(c["p_len"][k])
            cut = p + int(c["b_len"][k])
            ids = c["tokens"][lo:hi].tolist()
            row = {"prompt_ids": ids[:p], "chosen_ids": ids[p:cut],
                   "rejected_ids": ids[cut:]}
            if r:
                row["ref_chosen_logps"] = float(r["sum"][2 * k])
                row["ref_rejected_logps"] = float(r["sum"][2 * k + 1])
                t = r["token"][done:done + len(ids) - p].tolist()
                row["ref_chosen_token_logps"] = t[:cut - p]
                row["ref_rejected_token_logps"] = t[cut - p:]
                done += len(ids) - p
            print(json.dumps(row))
    need(h.hexdigest() == man["set_id"], "set_id")


main(*sys.argv[1:])
