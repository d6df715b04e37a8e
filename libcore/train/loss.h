/* SPDX-License-Identifier: MIT
 *
 * Preference losses: scalars of rows -> losses and their derivatives.
 *
 * Every loss of the family is a function of a few scalars a row: the summed
 * log-probabilities of its branches under the policy and under the reference,
 * and their lengths. A loss sees a *group*, one micro-batch, because some
 * (AOT sorts, SFT normalises) look across rows:
 *
 *   loss(args, x[n], n, L[n], d[n][K])
 *
 * L[i] is the loss of row i (the group's loss is the mean of L), and d[i][k]
 * the derivative of the sum of all L by logp of branch k of row i. The trainer
 * turns d into row coefficients: dL/dlogp of a token = token weight * weight
 * of the row in the step * d of its branch.
 *
 * Formulas and names are TRL 1.16's; everything is computed in double. */
#ifndef PF_TRAIN_LOSS_H
#define PF_TRAIN_LOSS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define PF_LOSS_K 2 /* branches a loss looks at */
#define PF_LOSS_MAX_MIX 8

/* The scalars of a row. */
typedef struct pf_loss_x {
    double logp[PF_LOSS_K]; /* policy, summed over the branch (each token
                               times its weight) */
    double ref[PF_LOSS_K];  /* reference, the same sums */
    double n[PF_LOSS_K];    /* tokens of the branch, >= 1 */
    bool label;             /* unpaired: desirable */
} pf_loss_x;

typedef struct pf_loss_args pf_loss_args;
typedef void pf_loss_fn(const pf_loss_args *a, const pf_loss_x *x, size_t n,
                        double *L, double (*d)[PF_LOSS_K]);

enum {
    PF_LOSS_GROUP = 1,     /* looks across rows: needs whole micro-batches */
    PF_LOSS_SMOOTHING = 2, /* uses label_smoothing */
    PF_LOSS_TAU = 4,       /* uses discopop_tau */
};

typedef struct pf_loss_kind {
    const char *name;  /* as in --loss_type */
    pf_loss_fn *fn;    /* NULL: a known name that is not built */
    unsigned flags;    /* PF_LOSS_* */
    const char *about; /* one line */
} pf_loss_kind;

struct pf_loss_args {
    double beta;
    double label_smoothing; /* eps */
    double discopop_tau;
    size_t n_kind; /* a mix: sum of weight * loss */
    const pf_loss_kind *kind[PF_LOSS_MAX_MIX];
    double weight[PF_LOSS_MAX_MIX];
};

/* NULL when no loss has that name; see fn for one that is not built. */
const pf_loss_kind *pf_loss_find(const char *name);
/* The table, ends with a NULL name. */
const pf_loss_kind *pf_loss_kinds(void);

/* Checks ranges against the kinds in the mix; PF_E_USAGE naming the option. */
PF_MUST_CHECK int pf_loss_check(const pf_loss_args *a, pf_err *e);

/* The mix over one group; L and d are overwritten. */
void pf_loss_run(const pf_loss_args *a, const pf_loss_x *x, size_t n,
                 double *L, double (*d)[PF_LOSS_K]);

/* Does any kind of the mix look across rows? */
bool pf_loss_is_group(const pf_loss_args *a);

/* The loss of a row whose policy equals its reference: what step 0 must
 * show when references are exact (sigmoid: ln 2). */
double pf_loss_at_zero(const pf_loss_args *a);

#endif
