/* SPDX-License-Identifier: MIT
 *
 * The training run: steps, logs, evaluations, checkpoints, resume.
 *
 * A run is a pure function of the model, the rows, their references and the
 * settings: stopped anywhere and resumed it ends in the same bytes. Step
 * semantics are TRL 1.16's (train/order.h, train/metrics.h); deliberate
 * differences are listed in preftrain(1).
 *
 * The reference model is never needed: references come with the rows. */
#ifndef PF_TRAIN_TRAIN_H
#define PF_TRAIN_TRAIN_H

#include "base/log.h"
#include "model/model.h"
#include "train/loss.h"
#include "train/optim.h"
#include "train/schedule.h"

typedef enum pf_when { PF_WHEN_NO, PF_WHEN_STEPS, PF_WHEN_EPOCH } pf_when;

/* What the first batch must show (pairs, fresh runs). */
typedef enum pf_step0 {
    PF_STEP0_REPORT,    /* say how far references are */
    PF_STEP0_EXACT,     /* rewards bitwise 0, else PF_E_IDENTITY */
    PF_STEP0_TOLERANCE, /* rms per token within step0_rms */
} pf_step0;

typedef struct pf_train_args {
    /* loss; beta also scales the rewards that are logged */
    pf_loss_args loss;
    /* steps */
    uint32_t batch, eval_batch, accum;
    double epochs;
    int64_t max_steps; /* > 0 overrides epochs */
    bool drop_last, random;
    uint64_t order_seed;
    /* update */
    pf_optim_settings optim;
    pf_schedule_kind schedule;
    double lr, warmup_steps;
    /* when; *_steps below 1 are shares of all steps */
    pf_when log_when, eval_when, save_when;
    double log_steps, eval_steps, save_steps, eval_delay;
    bool log_first, eval_on_start;
    int64_t save_limit; /* checkpoints kept, 0 = all */
    bool save_only_model;
    /* where; NULL: nothing of the kind is written */
    const char *output_dir, *dump_grads, *log_rows;
    const char *resume; /* a checkpoint directory */
    pf_dtype save_dtype;
    bool train; /* false: evaluate only */
    pf_step0 step0;
    double step0_rms;
    /* What a checkpoint must agree with: rows, references, start weights. */
    const pf_ident *identity;
} pf_train_args;

typedef struct pf_train_set {
    const char *name; /* NULL: the only one */
    const pf_rowset *rows;
} pf_train_set;

/* The caller's side of a run. */
typedef struct pf_train_hooks {
    void *ctx;
    const pf_log *log;
    /* Nonzero: save a checkpoint and stop. */
    int (*stop)(void *ctx);
    /* After each step; entry is the log line or NULL. */
    void (*step)(void *ctx, int64_t step, int64_t total, const char *entry);
    /* Adds what lies beside the weights (tokenizer files) to a directory. */
    int (*beside)(void *ctx, const char *dir, pf_err *e);
} pf_train_hooks;

typedef struct pf_train_result {
    int64_t steps; /* done in all */
    bool stopped;  /* by hooks.stop, with a checkpoint */
    double train_loss, train_seconds;
} pf_train_result;

/* The model must have been loaded with train (or without, to evaluate). rows
 * may be NULL when args.train is false. seq rows are trained by likelihood,
 * pairs by args.loss. */
PF_MUST_CHECK int pf_train_run(pf_model *m, const pf_train_args *a,
                               const pf_rowset *rows,
                               const pf_train_set *eval, size_t n_eval,
                               const pf_train_hooks *h, pf_train_result *r,
                               pf_err *e);

/* Directory of the newest complete checkpoint under output_dir, allocated;
 * *out = NULL when there is none. */
PF_MUST_CHECK int pf_checkpoint_last(const char *output_dir, char **out,
                                     pf_err *e);
/* Removes all checkpoints, and what is left of unfinished ones. */
PF_MUST_CHECK int pf_checkpoint_clear(const char *output_dir, pf_err *e);

#endif
