/* SPDX-License-Identifier: MIT
 *
 * Rows: what a record becomes after tokenisation, and what trainers eat.
 *
 *   pair      P prompt ids, then K = 2 branches: chosen, rejected
 *   unpaired  P prompt ids, then K = 1 branch, and a label
 *   seq       P = 0, K = 1: one sequence with a loss bit per token
 *
 * The ids of a row are contiguous: prompt | branch 0 | branch 1. The prompt
 * stands once; a branch's positions start again at P. Pair and unpaired rows
 * have P >= 1 (the first token of a branch is predicted from the last prompt
 * token) and no empty branch. One kind and one K per set. */
#ifndef PF_DATA_ROW_H
#define PF_DATA_ROW_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/hash.h"

#define PF_MAX_BRANCH 16

typedef enum pf_row_kind {
    PF_ROW_PAIR = 1,
    PF_ROW_SEQ = 2,
    PF_ROW_UNPAIRED = 3,
} pf_row_kind;

const char *pf_row_kind_name(pf_row_kind k); /* "pair" "seq" "unpaired" */
bool pf_row_kind_parse(const char *s, pf_row_kind *out);

/* Bits of pf_row.flags, stored in shards. */
enum {
    PF_ROW_TRUNCATED_PROMPT = 1,
    PF_ROW_TRUNCATED_BRANCH = 2,
    PF_ROW_BOUNDARY_MOVED = 4, /* prompt ids were not a prefix: P was cut */
};

typedef struct pf_row {
    pf_row_kind kind;
    uint8_t flags;
    bool label;      /* unpaired */
    uint8_t id_size; /* 2 or 4: element size of ids */
    uint32_t n_branch;
    uint32_t p_len;
    uint32_t b_len[PF_MAX_BRANCH];
    const void *ids;     /* total ids of id_size bytes each */
    const uint8_t *mask; /* seq: one bit per id, bit i of byte i/8; else NULL */
    uint64_t row_id;     /* pf_src_row_id */
    bool has_ref;        /* imported sums (references without tokens) */
    double ref_sum[PF_MAX_BRANCH];
} pf_row;

static inline uint64_t pf_row_tokens(const pf_row *r)
{
    uint64_t n = r->p_len;
    for (uint32_t k = 0; k < r->n_branch; k++)
        n += r->b_len[k];
    return n;
}
/* Tokens of the branches: those that get a log-probability. */
static inline uint64_t pf_row_completion(const pf_row *r)
{
    return pf_row_tokens(r) - r->p_len;
}
static inline uint32_t pf_row_id_at(const pf_row *r, uint64_t i)
{
    return r->id_size == 2 ? ((const uint16_t *)r->ids)[i]
                           : ((const uint32_t *)r->ids)[i];
}
static inline bool pf_row_mask_at(const pf_row *r, uint64_t i)
{
    return !r->mask || (r->mask[i >> 3] >> (i & 7) & 1);
}

/* Content hash of a row: XXH3-128 over kind, label, lengths, ids (as u32) and
 * mask; not over row_id, flags or references. docs/formats/shard.md gives the
 * bytes. */
pf_hash128 pf_row_key(const pf_row *r);

/* Index of the first of n ids (id_size bytes each) that is >= vocab, or n. */
uint64_t pf_ids_scan(const void *ids, uint8_t id_size, uint64_t n,
                     uint32_t vocab);

/* PF_E_FORMAT when a row breaks the rules above or an id is >= vocab. */
PF_MUST_CHECK int pf_row_check(const pf_row *r, uint32_t vocab, pf_err *e);

/* Reference log-probabilities of one row. */
typedef struct pf_row_ref {
    const float *token;         /* per completion token, branch after branch;
                                   NULL for imported references (sums only) */
    double sum[PF_MAX_BRANCH];  /* per branch */
} pf_row_ref;

/* A set of rows with random access: how scoring and training see shards.
 * formats/shard_set.h implements it; tests make their own. Thread-safe for
 * reading. */
typedef struct pf_rowset pf_rowset;
struct pf_rowset {
    uint64_t n_rows;
    pf_row_kind kind;
    uint32_t n_branch;
    uint32_t vocab;
    /* Row i; valid as long as the set. */
    int (*get)(const pf_rowset *s, uint64_t i, pf_row *out, pf_err *e);
    /* Reference of row i, when the set was opened with one; NULL otherwise. */
    int (*ref)(const pf_rowset *s, uint64_t i, pf_row_ref *out, pf_err *e);
};

#endif
