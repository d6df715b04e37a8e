/* SPDX-License-Identifier: MIT
 *
 * The optimizer over all parameters of a model: fp32 masters, clipping by
 * global norm, decay groups.
 *
 * AdamW (torch.optim.AdamW), t counting from 1, g the clipped gradient:
 *   p *= 1 - lr * weight_decay          (only where pf_param.decay)
 *   m  = beta1 * m + (1 - beta1) * g
 *   v  = beta2 * v + (1 - beta2) * g * g
 *   p -= lr / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + eps)
 * A step with lr 0 (the first of a warm-up) still moves m and v.
 *
 * Clipping as torch.nn.utils.clip_grad_norm_: L2 of the tensors' L2 norms,
 * then all gradients times min(1, max_norm / (norm + 1e-6)). */
#ifndef PF_TRAIN_OPTIM_H
#define PF_TRAIN_OPTIM_H

#include "model/model.h"

typedef struct pf_optim_settings {
    pf_optim_kind kind;
    double beta1, beta2, eps, weight_decay;
    double max_grad_norm; /* 0 = no clipping */
} pf_optim_settings;

/* PF_E_USAGE for an unknown name, or one that is not built (named). */
PF_MUST_CHECK int pf_optim_parse(const char *name, pf_optim_kind *out,
                                 pf_err *e);

typedef struct pf_optim {
    pf_model *model;
    pf_optim_settings set;
    int64_t t;      /* steps done */
    size_t n;       /* parameters */
    pf_param *param; /* the model's */
    float **m, **v; /* [n] device memory */
} pf_optim;

/* Moments at zero. PF_E_LIMIT when memory cannot be had. */
PF_MUST_CHECK int pf_optim_init(pf_optim *o, pf_model *model,
                                const pf_optim_settings *set, pf_err *e);
void pf_optim_release(pf_optim *o);
uint64_t pf_optim_bytes(const pf_optim *o);

/* L2 norm of all gradients. */
double pf_optim_grad_norm(const pf_optim *o);
/* One step with gradients of norm `norm`, clipped; refreshes the model. */
void pf_optim_step(pf_optim *o, double lr, double norm);

#endif
