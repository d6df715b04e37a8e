/* SPDX-License-Identifier: MIT */
#include "train/optim.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"

static const struct {
    const char *name;
    int kind; /* -1: known to transformers, not built */
} names[] = {
    {"adamw_torch", PF_OPTIM_ADAMW}, {"adamw_torch_fused", PF_OPTIM_ADAMW},
    {"sgd", -1},     {"rmsprop", -1},   {"adagrad", -1},
    {"lion_32bit", -1}, {"adafactor", -1},
};

int pf_optim_parse(const char *name, pf_optim_kind *out, pf_err *e)
{
    for (size_t i = 0; i < PF_COUNTOF(names); i++) {
        if (strcmp(names[i].name, name) != 0)
            continue;
        if (names[i].kind < 0)
            return pf_err_set(e, PF_E_USAGE,
                              "optim %s is not built in this version", name);
        *out = (pf_optim_kind)names[i].kind;
        return 0;
    }
    char q[64];
    return pf_err_set(e, PF_E_USAGE, "optim: no such optimizer: %s",
                      pf_err_quote(q, sizeof q, name, strlen(name)));
}

static const pf_ops *ops_of(const pf_optim *o)
{
    return pf_model_backend(o->model)->ops;
}

int pf_optim_init(pf_optim *o, pf_model *model, const pf_optim_settings *set,
                  pf_err *e)
{
    *o = (pf_optim){.model = model, .set = *set};
    o->param = pf_model_params(model, &o->n);
    o->m = pf_calloc(o->n, sizeof *o->m);
    o->v = pf_calloc(o->n, sizeof *o->v);
    if (!o->m || !o->v)
        goto nomem;
    pf_backend *be = pf_model_backend(model);
    for (size_t i = 0; i < o->n; i++) {
        size_t bytes = (size_t)o->param[i].count * sizeof(float);
        o->m[i] = be->ops->alloc(be, bytes);
        o->v[i] = be->ops->alloc(be, bytes);
        if (!o->m[i] || !o->v[i])
            goto nomem;
    }
    return 0;
nomem:
    pf_optim_release(o);
    return pf_err_nomem(e);
}

void pf_optim_release(pf_optim *o)
{
    if (!o->model)
        return;
    pf_backend *be = pf_model_backend(o->model);
    for (size_t i = 0; o->m && o->v && i < o->n; i++) {
        size_t bytes = (size_t)o->param[i].count * sizeof(float);
        if (o->m[i])
            be->ops->free(be, o->m[i], bytes);
        if (o->v[i])
            be->ops->free(be, o->v[i], bytes);
    }
    pf_free(o->m);
    pf_free(o->v);
    *o = (pf_optim){0};
}

uint64_t pf_optim_bytes(const pf_optim *o)
{
    uint64_t n = 0;
    for (size_t i = 0; i < o->n; i++)
        n += (uint64_t)o->param[i].count;
    return n * 2 * sizeof(float);
}

double pf_optim_grad_norm(const pf_optim *o)
{
    pf_backend *be = pf_model_backend(o->model);
    double sum = 0;
    for (size_t i = 0; i < o->n; i++)
        sum += be->ops->sumsq(be, o->param[i].grad, o->param[i].count);
    return sqrt(sum);
}

void pf_optim_step(pf_optim *o, double lr, double norm)
{
    pf_backend *be = pf_model_backend(o->model);
    const pf_optim_settings *s = &o->set;
    o->t++;
    pf_optim_args a = {.kind = s->kind, .lr = lr, .beta1 = s->beta1,
                       .beta2 = s->beta2, .eps = s->eps, .grad_scale = 1};
    a.bias1 = 1 - pow(s->beta1, (double)o->t);
    a.bias2 = 1 - pow(s->beta2, (double)o->t);
    if (s->max_grad_norm > 0)
        a.grad_scale = fmin(1, s->max_grad_norm / (norm + 1e-6));
    for (size_t i = 0; i < o->n; i++) {
        a.weight_decay = o->param[i].decay ? s->weight_decay : 0;
        ops_of(o)->optim(be, &a, o->param[i].master, o->param[i].grad,
                         o->m[i], o->v[i], o->param[i].count);
    }
    pf_model_refresh(o->model);
}
