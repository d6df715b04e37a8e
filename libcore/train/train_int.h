/* SPDX-License-Identifier: MIT
 *
 * The state of a run, shared by train.c, train_eval.c and checkpoint.c. */
#ifndef PF_TRAIN_TRAIN_INT_H
#define PF_TRAIN_TRAIN_INT_H

#include "train/metrics.h"
#include "train/order.h"
#include "train/train.h"

typedef struct pf_train {
    pf_model *model;
    const pf_train_args *a;
    const pf_rowset *rows;
    const pf_train_set *eval;
    size_t n_eval;
    const pf_train_hooks *h;
    bool seq;
    pf_order order;
    pf_schedule schedule;
    pf_optim optim;
    pf_batch batch;
    double *weight; /* of the rows of a step */
    size_t cap_weight;
    pf_history history;
    FILE *log_rows;
    int64_t log_every, eval_every, save_every;
    /* state that a checkpoint holds */
    int64_t step, total;
    int64_t last_log; /* step of the last log */
    uint64_t num_tokens;
    double epoch;
    pf_window window;
    double total_loss; /* logged since the start */
    /* not in checkpoints */
    int64_t first_step;
    double last_norm, last_lr;
} pf_train;

double pf_train_seconds(void); /* monotonic clock */

/* The rows of t->batch to --log_rows; eval is the name of their set when they
 * were evaluated ("" = it has none), NULL when they made a step. */
PF_MUST_CHECK int pf_train_log_rows(pf_train *t, const char *eval, pf_err *e);

/* train_eval.c: evaluates every set and logs an entry for each. */
PF_MUST_CHECK int pf_train_eval(pf_train *t, pf_err *e);

/* checkpoint.c: writes checkpoint-STEP, atomically, and removes old ones. */
PF_MUST_CHECK int pf_checkpoint_save(pf_train *t, pf_err *e);
/* Masters, moments, counters and history from a->resume. */
PF_MUST_CHECK int pf_checkpoint_load(pf_train *t, pf_err *e);
/* Settings that decide what the steps do (for resume: a warning if changed). */
PF_MUST_CHECK int pf_train_settings(const pf_train *t, pf_ident *id,
                                    pf_err *e);

#endif
