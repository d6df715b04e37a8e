/* SPDX-License-Identifier: MIT
 *
 * Learning-rate schedules, equal to those of transformers 5.23.
 *
 * A schedule is a pure function of the number of optimizer steps done, so a
 * resumed run needs no state. The first step has done = 0: with warm-up its
 * learning rate is 0. */
#ifndef PF_TRAIN_SCHEDULE_H
#define PF_TRAIN_SCHEDULE_H

#include <stdint.h>

#include "base/err.h"

typedef enum pf_schedule_kind {
    PF_SCHEDULE_LINEAR,
    PF_SCHEDULE_COSINE,
    PF_SCHEDULE_CONSTANT, /* ignores warm-up */
    PF_SCHEDULE_CONSTANT_WITH_WARMUP,
} pf_schedule_kind;

typedef struct pf_schedule {
    pf_schedule_kind kind;
    double lr;      /* peak */
    int64_t warmup; /* steps, pf_schedule_warmup() */
    int64_t total;  /* steps */
} pf_schedule;

/* PF_E_USAGE for an unknown name, or one that is not built (named). */
PF_MUST_CHECK int pf_schedule_parse(const char *name, pf_schedule_kind *out,
                                    pf_err *e);
/* --warmup_steps: steps when >= 1 (cut to a whole number), else a share of
 * total (rounded up). */
int64_t pf_schedule_warmup(double warmup_steps, int64_t total);
/* --logging_steps and the like: below 1 a share of total (rounded up). */
int64_t pf_schedule_interval(double steps, int64_t total);

/* The learning rate of the step that follows `done` steps. */
double pf_schedule_lr(const pf_schedule *s, int64_t done);

#endif
