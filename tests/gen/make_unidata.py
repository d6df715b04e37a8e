#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes libcore/text/unidata.c: one byte per code point, in two stages.

What has to be equalled is Hugging Face tokenizers 0.23:
  general categories  Unicode 16.0 (Oniguruma 6.9.10): from unicodedata2 16.0
  \\w of single_word   the Rust regex crate: measured from `tokenizers` itself
  NFC                 Unicode 9.0 tables: from the unicodedata of Python 3.6

  python3.6 make_unidata.py --dump9 > nfc9.txt
  python3   make_unidata.py --nfc9 nfc9.txt > libcore/text/unidata.c
                            (needs unicodedata2==16.0.0, tokenizers==0.23.2)
  python3   make_unidata.py --check         compares the categories with what
                            the Split regexes of tokenizers do
"""
import argparse
import sys

N = 0x110000
GC = ("Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po "
      "Sm Sc Sk So Zs Zl Zp Cc Cf Cs Co Cn").split()
SPACE_CC = 30  # controls that are White_Space: a category of their own
SHIFT = 7


def scalar(c):
    return not 0xD800 <= c < 0xE000


def dump9():
    """0 safe starter, 1 may change under NFC, 2 not assigned in 9.0."""
    import unicodedata as u
    assert u.unidata_version == "9.0.0", u.unidata_version
    second = set(range(0x1161, 0x1176)) | set(range(0x11A8, 0x11C3))
    for c in range(N):
        d = u.decomposition(chr(c))
        if d and not d.startswith("<") and len(d.split()) == 2 \
                and u.normalize("NFC", chr(c)) == chr(c):
            second.add(int(d.split()[1], 16))
    run, last = 0, None
    for c in range(N + 1):
        if c == N:
            v = None
        elif not scalar(c):
            v = 0
        elif u.category(chr(c)) == "Cn":
            v = 2
        elif (u.combining(chr(c)) or c in second
              or u.normalize("NFC", chr(c)) != chr(c)):
            v = 1
        else:
            v = 0
        if v != last:
            if last is not None:
                print("%x %x %d" % (run, c - 1, last))
            run, last = c, v


def categories():
    import unicodedata2 as u
    assert u.unidata_version == "16.0.0", u.unidata_version
    out = bytearray(N)
    for c in range(N):
        g = GC.index(u.category(chr(c)))
        if c in (9, 10, 11, 12, 13, 0x85):
            g = SPACE_CC
        out[c] = g
    return out


def words():
    from tokenizers import AddedToken, Tokenizer, models
    t = Tokenizer(models.BPE(vocab={"a": 0}, merges=[]))
    t.add_tokens([AddedToken("<X>", single_word=True, normalized=False)])
    out = bytearray(N)
    for lo in range(0, N, 65536):
        cps = [c for c in range(lo, lo + 65536) if scalar(c)]
        for c, e in zip(cps, t.encode_batch([chr(c) + "<X>" for c in cps])):
            out[c] = "<X>" not in e.tokens
    return out


def check(cat):
    from tokenizers import Regex, pre_tokenizers as p
    text = "".join(chr(c) for c in range(N) if scalar(c))
    for name in ["L", "N", "M", "P", "S"] + GC[:29] + ["space"]:
        if name == "Cs":
            continue
        pat = r"\s" if name == "space" else r"\p{%s}" % name
        got = set()
        for s, _ in p.Split(Regex("[^%s]" % pat), "removed") \
                .pre_tokenize_str(text):
            got.update(map(ord, s))
        if name == "space":
            want = {c for c in range(N) if cat[c] in (22, 23, 24, SPACE_CC)}
        else:
            want = {c for c in range(N) if scalar(c) and
                    ("Cc" if cat[c] == SPACE_CC else GC[cat[c]])
                    .startswith(name)}
        print(name, len(want), "differ: %d" % len(got ^ want))


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--dump9", action="store_true")
    a.add_argument("--check", action="store_true")
    a.add_argument("--nfc9")
    a = a.parse_args()
    if a.dump9:
        return dump9()
    cat = categories()
    if a.check:
        return check(cat)
    w = words()
    v = bytearray(N)
    nfc = bytearray(N)
    for line in open(a.nfc9):
        lo, hi, k = line.split()
        for c in range(int(lo, 16), int(hi, 16) + 1):
            nfc[c] = int(k)
    for c in range(N):
        v[c] = cat[c] | w[c] << 5 | nfc[c] << 6
    blocks, index = {}, []
    for lo in range(0, N, 1 << SHIFT):
        b = bytes(v[lo:lo + (1 << SHIFT)])
        index.append(blocks.setdefault(b, len(blocks)))
    out = sys.stdout
    out.write("/* SPDX-License-Identifier: MIT\n *\n"
              " * Made by tests/gen/make_unidata.py: do not edit.\n"
              " * Categories: Unicode 16.0. NFC classes: Unicode 9.0. */\n"
              '#include "text/unidata.h"\n\n')

    def table(decl, xs):
        out.write("const %s = {\n" % decl)
        line = "   "
        for x in xs:
            s = " %d," % x
            if len(line) + len(s) > 79:
                out.write(line + "\n")
                line = "   "
            line += s
        out.write(line + "\n};\n")

    table("uint16_t pf_uni_index[%d]" % len(index), index)
    table("uint8_t pf_uni_block[%d << PF_UNI_SHIFT]" % len(blocks),
          b"".join(blocks))


main()
