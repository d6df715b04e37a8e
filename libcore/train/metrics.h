/* SPDX-License-Identifier: MIT
 *
 * What a run reports, under TRL's names and with TRL's averages: a value per
 * micro-batch, then the plain mean over the micro-batches since the last log
 * (so rows of a short micro-batch weigh more, as in TRL).
 *
 * pf_history is the list of entries, each a JSON object on a line: it is
 * metrics.jsonl on disk and log_history in trainer_state.json. */
#ifndef PF_TRAIN_METRICS_H
#define PF_TRAIN_METRICS_H

#include <stdio.h>

#include "base/json.h"
#include "train/batch.h"

typedef enum pf_metric {
    PF_METRIC_ENTROPY,
    PF_METRIC_LOGITS_CHOSEN,
    PF_METRIC_LOGITS_REJECTED,
    PF_METRIC_TOKEN_ACCURACY,
    PF_METRIC_REWARDS_CHOSEN,
    PF_METRIC_REWARDS_REJECTED,
    PF_METRIC_REWARDS_ACCURACIES,
    PF_METRIC_REWARDS_MARGINS,
    PF_METRIC_LOGPS_CHOSEN,
    PF_METRIC_LOGPS_REJECTED,
    PF_METRIC_COUNT
} pf_metric;

const char *pf_metric_name(pf_metric m); /* "rewards/chosen" */
/* Do runs on seq rows (likelihood) have it? */
bool pf_metric_of_seq(pf_metric m);

/* Values over micro-batches. */
typedef struct pf_window {
    double sum[PF_METRIC_COUNT];
    uint64_t micro;
    double loss;    /* sum of step losses */
    uint64_t steps;
    uint64_t rows, tokens; /* for rates */
    double seconds;
} pf_window;

/* Adds one micro-batch; seq: entropy and accuracy only. */
void pf_window_add(pf_window *w, const pf_item *it, uint32_t n, double beta,
                   bool seq);
/* Writes the means into an open JSON object, keys behind prefix ("eval_");
 * num_tokens stands after entropy, as in TRL. */
void pf_window_write(const pf_window *w, pf_jw *j, const char *prefix,
                     uint64_t num_tokens, bool seq);
void pf_jw_metric(pf_jw *j, const char *prefix, const char *key, double v);

/* Zero-initialise. path NULL: kept in memory only. */
typedef struct pf_history {
    char **line;
    size_t n, cap;
    FILE *f;
    char *path;
} pf_history;

/* Starts the file anew with the entries held (none, or those of a
 * checkpoint). */
PF_MUST_CHECK int pf_history_open(pf_history *h, const char *path, pf_err *e);
/* Adds an entry and writes it through. */
PF_MUST_CHECK int pf_history_add(pf_history *h, pf_slice object, pf_err *e);
/* Adds to memory only (entries read from a checkpoint). */
PF_MUST_CHECK int pf_history_keep(pf_history *h, pf_slice object, pf_err *e);
/* Flushes to disk; the entries stay. */
PF_MUST_CHECK int pf_history_sync(pf_history *h, pf_err *e);
void pf_history_release(pf_history *h);

#endif
