/* SPDX-License-Identifier: MIT
 *
 * Byte-level byte-pair encoding of one piece of text.
 *
 * The model is read-only and shared; each thread has a pf_bpe_scratch with a
 * bounded cache from short pieces to their ids. Merging is a scan for the
 * least rank on short pieces and a heap on long ones, so the time of a piece
 * of n bytes is O(n log n). Nothing is allocated in the steady state. */
#ifndef PF_TEXT_BPE_H
#define PF_TEXT_BPE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/map.h"

#define PF_BPE_NONE UINT32_MAX

/* A merge: the pair (left, right) becomes id; lower ranks go first. */
typedef struct pf_merge {
    uint32_t left, right, rank, id;
} pf_merge;

typedef struct pf_bpe {
    uint32_t byte_id[256]; /* first symbols; PF_BPE_NONE = not in the vocab */
    uint32_t unk;          /* for such bytes, or PF_BPE_NONE: dropped */
    bool fuse_unk;         /* a run of them becomes one unk */
    pf_merge *slot;        /* open addressing; rank PF_BPE_NONE = free */
    uint32_t mask;
    size_t slot_bytes;
    const pf_map *whole; /* ignore_merges: piece bytes -> id, else NULL */
} pf_bpe;

/* Builds the pair table. Of merges with the same pair the last one counts. */
PF_MUST_CHECK int pf_bpe_init(pf_bpe *b, const pf_merge *merge, size_t n,
                              pf_err *e);
void pf_bpe_release(pf_bpe *b);

typedef struct pf_bpe_scratch pf_bpe_scratch;
PF_MUST_CHECK int pf_bpe_scratch_new(pf_bpe_scratch **out, pf_err *e);
void pf_bpe_scratch_free(pf_bpe_scratch *s);

/* Encodes the pieces text[begin, end[0]), text[end[0], end[1]), ...; ids has
 * room for as many ids as there are bytes. limit: bytes readable from text
 * (at least end[n - 1]). *n_id gets the number written. */
PF_MUST_CHECK int pf_bpe_encode(const pf_bpe *b, pf_bpe_scratch *s,
                                const char *text, size_t limit, size_t begin,
                                const size_t *end, size_t n, uint32_t *ids,
                                size_t *n_id, pf_err *e);

#endif
