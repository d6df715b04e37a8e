/* SPDX-License-Identifier: MIT
 *
 * Which rows make up which optimizer step, as TRL 1.16 / transformers 5.23:
 *
 *   epoch -> micro-batches of `batch` rows (the last may be short, or is
 *   dropped) -> steps of `accum` micro-batches (the last of an epoch may be
 *   short). Steps never cross epochs.
 *
 * Rows go in file order, or in torch's permutation for seed + epoch. A pure
 * function of the step number: nothing to save for a resume. */
#ifndef PF_TRAIN_ORDER_H
#define PF_TRAIN_ORDER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

typedef struct pf_order {
    uint32_t n_rows, batch, accum;
    bool random;
    uint64_t seed;
    /* derived */
    uint32_t used; /* rows an epoch really takes (drop_last) */
    int64_t micro_per_epoch, steps_per_epoch;
    uint32_t *row;     /* [n_rows], the order of epoch row_epoch */
    int64_t row_epoch; /* -1 = none yet */
} pf_order;

/* One optimizer step. */
typedef struct pf_order_step {
    int64_t epoch;       /* 0-based */
    const uint32_t *row; /* rows of the step, micro-batch after micro-batch */
    uint32_t n;
    uint32_t n_micro;    /* each of `batch` rows, the last perhaps of fewer */
    double epoch_after;  /* TRL's "epoch" once the step is done */
} pf_order_step;

/* PF_E_USAGE when an epoch would hold no micro-batch; PF_E_LIMIT. */
PF_MUST_CHECK int pf_order_init(pf_order *o, uint64_t n_rows, uint32_t batch,
                                uint32_t accum, bool drop_last, bool random,
                                uint64_t seed, pf_err *e);
void pf_order_release(pf_order *o);
/* Steps of a run: max_steps when > 0, else ceil(epochs * steps_per_epoch). */
int64_t pf_order_total(const pf_order *o, double epochs, int64_t max_steps);
/* Step number `step` (0-based, over all epochs). Valid until the next call. */
void pf_order_get(pf_order *o, int64_t step, pf_order_step *out);

#endif
