/* SPDX-License-Identifier: MIT
 *
 * Block plan: rows -> blocks of whole rows, prompts once.
 *
 * A block holds groups; a group is one row: its prompt, then each branch with
 * positions starting again at P, hidden from its siblings. Row P-1 of a group
 * has one target per branch (the first token of each); every branch token but
 * its last predicts the next. Seq rows are one run whose targets are the
 * tokens with loss (never the first token).
 *
 * Deterministic: rows are placed in the order given by (class, then best fit
 * decreasing), a pure function of the lengths. A row's block class depends on
 * its own length alone, so its bits never depend on company. */
#ifndef PF_MODEL_PLAN_H
#define PF_MODEL_PLAN_H

#include "base/err.h"
#include "data/row.h"
#include "model/ops.h"

typedef struct pf_block {
    int32_t n_row;    /* token rows in use (no padding) */
    int32_t *tok, *pos; /* [n_row] */
    pf_keys *keys;    /* [n_row], full causal (windows are cut per layer) */
    pf_group *group;  /* [n_group] */
    int32_t n_group;
    uint32_t *item;   /* [n_group]: index of the row in the input of the plan */
    int32_t *p_len;   /* [n_group] */
    /* head */
    int32_t n_head;     /* distinct rows that predict something */
    int32_t *head_row;  /* [n_head] block rows, ascending */
    int32_t n_target;
    int32_t *target_row; /* [n_target] index into head_row, ascending */
    int32_t *target_id;  /* [n_target] token to predict */
    uint32_t *target_item; /* [n_target] index of the row in the input */
    uint32_t *target_at;   /* [n_target] which completion token of that row
                              (branch after branch; seq: token index) */
} pf_block;

typedef struct pf_plan {
    pf_block *block;
    size_t n_block;
    int64_t max_rows, max_head; /* over the blocks */
    void *mem;
} pf_plan;

/* rows[n] are viewed, not kept. PF_E_LIMIT: out of memory, or a row longer
 * than max_len tokens along one branch (named by index). */
PF_MUST_CHECK int pf_plan_build(pf_plan *p, const pf_row *row, size_t n,
                                const pf_caps *caps, int64_t max_len,
                                pf_err *e);
void pf_plan_release(pf_plan *p);

#endif
