/* SPDX-License-Identifier: MIT */
#include "model/sample.h"

#include "base/mem.h"
#include "base/rng.h"

#include <math.h>
#include <stdlib.h>

struct pf_candidate {
    float logit;
    int32_t id;
    double p;
};

int pf_sampler_init(pf_sampler *s, double temperature, double top_p,
                    int64_t top_k, uint64_t seed, int64_t V, pf_err *e)
{
    *s = (pf_sampler){temperature, top_p, top_k, seed, NULL, V};
    if (!(temperature >= 0) || !isfinite(temperature))
        return pf_err_set(e, PF_E_USAGE, "temperature %g: not 0 or above",
                          temperature);
    if (!(top_p > 0 && top_p <= 1))
        return pf_err_set(e, PF_E_USAGE, "top_p %g: not in (0, 1]", top_p);
    if (top_k < 0)
        return pf_err_set(e, PF_E_USAGE, "top_k %lld: negative",
                          (long long)top_k);
    s->cand = pf_calloc((size_t)V, sizeof *s->cand);
    return s->cand ? 0 : pf_err_nomem(e);
}

void pf_sampler_release(pf_sampler *s)
{
    pf_free(s->cand);
    s->cand = NULL;
}

static int by_logit(const void *a, const void *b)
{
    const struct pf_candidate *x = a, *y = b;
    if (x->logit != y->logit)
        return x->logit > y->logit ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

static int32_t greedy(const float *logits, int64_t V)
{
    int32_t top = 0;
    for (int64_t v = 1; v < V; v++)
        if (logits[v] > logits[top])
            top = (int32_t)v;
    return top;
}

int32_t pf_sampler_next(pf_sampler *s, const float *logits, uint64_t stream,
                        uint64_t index)
{
    if (s->temperature == 0)
        return greedy(logits, s->V);
    struct pf_candidate *c = s->cand;
    for (int64_t v = 0; v < s->V; v++)
        c[v] = (struct pf_candidate){logits[v], (int32_t)v, 0};
    qsort(c, (size_t)s->V, sizeof *c, by_logit);
    int64_t n = s->V;
    if (s->top_k > 0 && s->top_k < n) {
        /* transformers keeps what ties with the k-th. */
        for (n = s->top_k; n < s->V && c[n].logit == c[s->top_k - 1].logit;)
            n++;
    }
    double total = 0, mass = 0;
    for (int64_t i = 0; i < n; i++)
        total += c[i].p = exp(((double)c[i].logit - (double)c[0].logit) /
                              s->temperature);
    /* The smallest set whose mass reaches top_p; at least one. */
    int64_t kept = 0;
    while (kept < n && (kept == 0 || mass < s->top_p * total))
        mass += c[kept++].p;
    double u = pf_rand_f64(s->seed, stream, index) * mass;
    int64_t i = 0;
    for (; i < kept - 1 && u >= c[i].p; i++)
        u -= c[i].p;
    return c[i].id;
}
