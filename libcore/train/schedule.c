/* SPDX-License-Identifier: MIT
 *
 * The lambdas of transformers.optimization, in its order of operations. */
#include "train/schedule.h"

#include <math.h>
#include <string.h>

static const struct {
    const char *name;
    int kind; /* -1: known to transformers, not built */
} names[] = {
    {"linear", PF_SCHEDULE_LINEAR},
    {"cosine", PF_SCHEDULE_COSINE},
    {"constant", PF_SCHEDULE_CONSTANT},
    {"constant_with_warmup", PF_SCHEDULE_CONSTANT_WITH_WARMUP},
    {"cosine_with_restarts", -1},
    {"polynomial", -1},
    {"inverse_sqrt", -1},
    {"reduce_lr_on_plateau", -1},
    {"cosine_with_min_lr", -1},
    {"cosine_warmup_with_min_lr", -1},
    {"warmup_stable_decay", -1},
    {"greedy", -1},
};

int pf_schedule_parse(const char *name, pf_schedule_kind *out, pf_err *e)
{
    for (size_t i = 0; i < PF_COUNTOF(names); i++) {
        if (strcmp(names[i].name, name) != 0)
            continue;
        if (names[i].kind < 0)
            return pf_err_set(e, PF_E_USAGE,
                              "lr_scheduler_type %s is not built in this "
                              "version", name);
        *out = (pf_schedule_kind)names[i].kind;
        return 0;
    }
    char q[64];
    return pf_err_set(e, PF_E_USAGE, "lr_scheduler_type: no such schedule: %s",
                      pf_err_quote(q, sizeof q, name, strlen(name)));
}

int64_t pf_schedule_warmup(double warmup_steps, int64_t total)
{
    if (warmup_steps >= 1)
        return (int64_t)warmup_steps;
    return (int64_t)ceil((double)total * warmup_steps);
}

int64_t pf_schedule_interval(double steps, int64_t total)
{
    int64_t n = steps < 1 ? (int64_t)ceil((double)total * steps)
                          : (int64_t)steps;
    return n < 1 ? 1 : n;
}

double pf_schedule_lr(const pf_schedule *s, int64_t done)
{
    double t = (double)done, w = (double)s->warmup, all = (double)s->total;
    if (s->kind == PF_SCHEDULE_CONSTANT)
        return s->lr;
    if (done < s->warmup)
        return s->lr * (t / fmax(1, w));
    switch (s->kind) {
    case PF_SCHEDULE_LINEAR:
        return s->lr * fmax(0, (all - t) / fmax(1, all - w));
    case PF_SCHEDULE_COSINE: {
        double p = (t - w) / fmax(1, all - w);
        return s->lr * fmax(0, 0.5 * (1 + cos(3.141592653589793 * p)));
    }
    default:
        return s->lr;
    }
}
