/* SPDX-License-Identifier: MIT
 *
 * Rows of a step through the model: pack, forward, losses, backward.
 *
 * Blocks are packed from all rows of the optimizer step, not from its
 * micro-batches; a micro-batch lives on in the weights of its rows alone
 * (1 / (its rows * micro-batches of the step)). So any equal split of a step
 * into micro-batches gives the same bits. */
#ifndef PF_TRAIN_BATCH_H
#define PF_TRAIN_BATCH_H

#include "model/model.h"
#include "train/loss.h"

/* What came out for one row. Branch 0 alone for seq rows. */
typedef struct pf_item {
    uint64_t at;      /* index in the set */
    uint64_t row_id;
    pf_loss_x x;      /* sums over the targets of each branch */
    double loss;
    uint32_t n[PF_LOSS_K];      /* targets */
    uint32_t hit[PF_LOSS_K];    /* of them top-1 */
    double entropy[PF_LOSS_K];  /* sums */
    double logit[PF_LOSS_K];    /* sums of mean logits */
    uint64_t tokens;  /* as a padded trainer sees them: prompt once a branch */
    double ref_err2;  /* sum of (logp - ref)^2 over tokens; NAN when the
                         reference has sums only */
} pf_item;

typedef struct pf_batch {
    pf_model *model;
    const pf_rowset *set;
    const pf_loss_args *loss; /* NULL: likelihood (seq rows) */
    int64_t max_len;
    /* of the rows loaded */
    pf_item *item;
    uint32_t n;
    uint64_t n_target;
    pf_plan plan;
    bool planned;
    /* scratch */
    pf_row *row;
    pf_row_ref *ref;
    size_t *first; /* [n + 1] first completion token of each row in logp */
    size_t cap_item, cap_row, cap_ref, cap_first, cap_logp, cap_block;
    float *logp; /* every completion token, row after row */
    float *b_logp, *b_entropy, *b_logit, *b_coef; /* one block's targets */
    uint8_t *b_hit;
    int64_t rows_reserved, head_reserved;
} pf_batch;

/* Zero-initialise, set model, set, loss, max_len. */
void pf_batch_release(pf_batch *b);

/* Fetches rows at[n] of the set (with references unless loss is NULL), plans
 * the blocks. PF_E_IDENTITY when the set has no references. */
PF_MUST_CHECK int pf_batch_load(pf_batch *b, const uint32_t *at, uint32_t n,
                                pf_err *e);
/* Room for the largest step to come: rows and head rows of a block. */
PF_MUST_CHECK int pf_batch_reserve(pf_batch *b, int64_t rows, int64_t head,
                                   uint64_t *bytes, pf_err *e);
/* Forward, once a load; items are filled. With weight (one a row: what the
 * row's loss counts in the step's) also backward: gradients are added to. */
PF_MUST_CHECK int pf_batch_run(pf_batch *b, const double *weight, pf_err *e);

#endif
