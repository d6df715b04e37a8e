/* SPDX-License-Identifier: MIT
 *
 * What attention's forward (cpu_attn.c) and backward (cpu_attn_bwd.c) share:
 * a block of rows of one group and head, and the scores of its rows against
 * the keys that any of them sees.
 *
 * Keys count from the group's first row, in units of PF_KEY_UNIT. The keys of
 * a block are at most two runs of units (prompt part, own branch). Scores lie
 * in lines: line l holds 16 keys of each of the block's rows in turn, so that
 * a row is a strided vector loop, the block a left operand in line layout, and
 * its transpose one in column layout.
 *
 * Bits. A score is one accumulator over D; a row's maximum has no order, its
 * sum of exponentials is exact (rows_softmax), and its output takes the keys
 * in ascending order, hidden ones adding an exact zero. So neither the units
 * nor the company of a row show in its results. */
#ifndef PF_BACKEND_CPU_ATTN_INT_H
#define PF_BACKEND_CPU_ATTN_INT_H

#include "backend/cpu_int.h"

#define PF_KEY_UNIT 32 /* keys; a multiple of 16 and of every nr */
#define PF_ATTN_ROWS 56 /* about the rows of a block; a multiple of mr */

typedef struct pf_attn_block {
    int64_t row, n;       /* block rows [row, row + n) of the batch */
    int64_t key;          /* row of the batch that is key 0 */
    int64_t n_key;        /* keys of the group */
    int n_run;
    int64_t first[2], end[2]; /* runs in keys, multiples of the unit */
    int64_t n_line;       /* lines of all runs */
    /* Of each tile of mr rows: no row of it sees a key from here on. What
     * lies beyond is neither computed nor summed: it would add zeros. */
    int64_t tile_end[PF_ATTN_ROWS];
} pf_attn_block;

/* Rows of a block under these kernels. */
static inline int64_t pf_attn_rows(const pf_gemm_kern *g)
{
    return PF_ATTN_ROWS / g->mr * g->mr;
}

void pf_attn_block_init(pf_attn_block *b, const pf_gemm_kern *g,
                        const pf_attn *a, pf_group group, int64_t row,
                        int64_t n);
/* bits[n_line]: the keys that batch row i sees. drop: bits hidden, for each
 * line of the group, or NULL. */
void pf_attn_bits(uint16_t *bits, const pf_attn_block *b, const pf_keys *k,
                  const uint16_t *drop);
/* drop bits of a group, [n / 16 up]; NULL when nothing is hidden. */
const uint16_t *pf_attn_drop_bits(uint16_t *out, const pf_attn *a,
                                  pf_group group);
/* K or V of a group (rows ld apart) as panels over keys, depth D. */
void pf_attn_pack_turned(const pf_gemm_kern *g, float *out, const float *x,
                         int64_t ld, int64_t n, int D);
/* As panels over D, depth keys. */
void pf_attn_pack_panels(const pf_gemm_kern *g, float *out, const float *x,
                         int64_t ld, int64_t n, int D);
/* s (lines) = a (rows in line layout, depth D) times turned panels. */
void pf_attn_scores(const pf_gemm_kern *g, float *s, const pf_attn_block *b,
                    const float *a, const float *turned, int D);
/* o[n, D] (ld apart) = s (lines) times panels over D. */
void pf_attn_gather(const pf_gemm_kern *g, float *o, int64_t ld,
                    const pf_attn_block *b, const float *s,
                    const float *panels, int D);

#endif
