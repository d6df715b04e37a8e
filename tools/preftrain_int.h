/* SPDX-License-Identifier: MIT
 *
 * Settings of preftrain, shared by its option table, its set-up of model and
 * sets, and its run. */
#ifndef PF_TOOLS_PREFTRAIN_INT_H
#define PF_TOOLS_PREFTRAIN_INT_H

#include "formats/shard.h"
#include "model/model.h"
#include "tools/tool.h"
#include "train/train.h"

typedef struct pf_train_settings_cli {
    pf_common common;
    /* what */
    const char *model, *train_dataset, *output_dir, *ref;
    pf_opt_list eval_dataset;
    bool do_train, allow_imported_refs;
    int backend, init, save_dtype, gradient_checkpointing;
    bool bf16;
    const char *dump_grads, *log_rows, *resume;
    int64_t max_length;
    int truncation_mode;
    /* loss */
    pf_opt_list loss_type, loss_weights;
    double beta, label_smoothing, discopop_tau;
    /* update */
    double learning_rate, warmup_steps, adam_beta1, adam_beta2, adam_epsilon,
        weight_decay, max_grad_norm;
    const char *lr_scheduler_type, *optim;
    /* steps */
    int64_t train_batch, eval_batch, accum, max_steps, data_seed;
    double epochs;
    bool drop_last;
    int sampling;
    /* when */
    int logging_strategy, eval_strategy, save_strategy;
    double logging_steps, eval_steps, save_steps, eval_delay;
    bool logging_first_step, eval_on_start, save_only_model;
    int64_t save_total_limit;
    /* taken for TRL's sake, without effect */
    const char *text_unused;
    int64_t int_unused;
    bool bool_unused;
    int report_to;
} pf_train_settings_cli;

extern const pf_opt pf_preftrain_options[];
void pf_preftrain_defaults(void *settings);
/* Says which given options have no effect here, and why. */
void pf_preftrain_notes(void);
/* Settings -> arguments of a run (not: sets, identity, step0, resume). */
PF_MUST_CHECK int pf_preftrain_args(const pf_train_settings_cli *s,
                                    bool seq, pf_train_args *a, pf_err *e);

/* What a run works on. Zero-initialise, release. */
typedef struct pf_train_setup {
    const pf_train_settings_cli *s;
    char *dir; /* of the model */
    pf_pool *pool;
    pf_backend *be;
    pf_model *model;
    pf_set *train;
    pf_set *eval[64];
    char *eval_name[64];
    pf_train_set eval_set[64];
    size_t n_eval;
    pf_ident identity; /* of the start: weights, rows, references */
    pf_step0 step0;
    double step0_rms;
} pf_train_setup;

/* Opens the sets, then the model in the references' dtype, and checks that
 * all belong together. */
PF_MUST_CHECK int pf_train_setup_open(pf_train_setup *u, pf_err *e);
void pf_train_setup_release(pf_train_setup *u);
const pf_rowset *pf_train_setup_rows(const pf_train_setup *u); /* or NULL */
/* The set whose rows decide the kind of training. */
pf_set *pf_train_setup_first(const pf_train_setup *u);
/* pf_train_hooks.beside: tokenizer, template and generation files. */
PF_MUST_CHECK int pf_train_setup_beside(void *ctx, const char *dir,
                                        pf_err *e);

#endif
