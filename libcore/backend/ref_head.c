/* SPDX-License-Identifier: MIT
 *
 * The oracle's head, norm of gradients, and optimizers. */
#include "backend/ref_int.h"

#include <math.h>

/* The V logits of one row into the backend's scratch. */
static double *row_logits(pf_backend *be, const double *x, const pf_weight *w,
                          float softcap)
{
    double *z = ((pf_ref *)be)->logit;
    for (int64_t v = 0; v < w->n_out; v++) {
        double sum = 0;
        for (int64_t c = 0; c < w->n_in; c++)
            sum += x[c] * w->w[v * w->n_in + c];
        z[v] = softcap > 0 ? softcap * tanh(sum / (double)softcap) : sum;
    }
    return z;
}

static double log_sum_exp(const double *z, int64_t V)
{
    double max = -INFINITY, sum = 0;
    for (int64_t v = 0; v < V; v++)
        max = fmax(max, z[v]);
    for (int64_t v = 0; v < V; v++)
        sum += exp(z[v] - max);
    return max + log(sum);
}

/* What the metrics want of a row. */
static void row_extras(const pf_head *h, int64_t r, const double *z)
{
    double pz = 0, p2 = 0, mean = 0;
    int32_t top = 0;
    for (int64_t v = 0; v < h->V; v++) {
        double p = exp(z[v] - h->lse[r]);
        pz += p * z[v];
        p2 += p * p;
        mean += z[v] / (double)h->V;
        if (z[v] > z[top])
            top = (int32_t)v;
    }
    if (h->mask & PF_HEAD_ENTROPY)
        h->entropy[r] = (float)(h->lse[r] - pz);
    if (h->mask & PF_HEAD_SUM_P2)
        h->sum_p2[r] = (float)p2;
    if (h->mask & PF_HEAD_MEAN_LOGIT)
        h->mean_logit[r] = (float)mean;
    if (h->mask & PF_HEAD_TOP1)
        h->top1[r] = top;
}

void pf_ref_head(pf_backend *be, const void *x, const pf_weight *w, pf_head *h)
{
    int64_t t = 0;
    for (int64_t r = 0; r < h->R; r++) {
        const double *z =
            row_logits(be, (const double *)x + r * h->C, w, h->softcap);
        h->lse[r] = log_sum_exp(z, h->V);
        if (h->mask)
            row_extras(h, r, z);
        for (; t < h->T && h->row[t] == r; t++) {
            double logp = z[h->target[t]] - h->lse[r];
            h->logp[t] = (float)logp;
            if (h->logp64)
                h->logp64[t] = logp;
        }
    }
}

/* d logp(t) / d logit(v) = [v = t] - softmax(v), summed over the targets. */
void pf_ref_head_bwd(pf_backend *be, void *dx, const void *x, pf_weight *w,
                     const pf_head *h)
{
    int64_t t = 0, C = h->C;
    for (int64_t r = 0; r < h->R; r++) {
        const double *in = (const double *)x + r * C;
        double *z = row_logits(be, in, w, h->softcap);
        double *d = (double *)dx + r * C;
        int64_t first = t;
        double coef = 0;
        for (; t < h->T && h->row[t] == r; t++)
            coef += h->coef[t];
        for (int64_t c = 0; c < C; c++)
            d[c] = 0;
        for (int64_t v = 0; v < h->V; v++) {
            double dz = -coef * exp(z[v] - h->lse[r]);
            for (int64_t u = first; u < t; u++)
                dz += h->target[u] == v ? h->coef[u] : 0;
            if (h->softcap > 0)
                dz *= 1 - (z[v] / h->softcap) * (z[v] / h->softcap);
            pf_ref_row row = pf_ref_row_of(w, v);
            for (int64_t c = 0; c < C; c++) {
                d[c] += dz * w->w[v * C + c];
                if (row.grad)
                    row.grad[c * row.stride] += dz * in[c];
            }
        }
    }
}

void pf_ref_logits(pf_backend *be, float *out, const void *x,
                   const pf_weight *w, float softcap, int64_t R)
{
    for (int64_t r = 0; r < R; r++) {
        const double *z =
            row_logits(be, (const double *)x + r * w->n_in, w, softcap);
        for (int64_t v = 0; v < w->n_out; v++)
            out[r * w->n_out + v] = (float)z[v];
    }
}

double pf_ref_sumsq(pf_backend *be, const void *acc, int64_t n)
{
    (void)be;
    const double *a = acc;
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += a[i] * a[i];
    return sum;
}

/* torch.optim.AdamW, SGD (no dampening, no Nesterov), RMSprop (not centred),
 * and Lion (Chen et al. 2023, algorithm 2). */
void pf_ref_optim(pf_backend *be, const pf_optim_args *a, float *p,
                  const void *grad, float *m, float *v, int64_t n)
{
    (void)be;
    bool decoupled = a->kind == PF_OPTIM_ADAMW || a->kind == PF_OPTIM_LION;
    for (int64_t i = 0; i < n; i++) {
        double g = ((const double *)grad)[i] * a->grad_scale, w = p[i], step;
        if (decoupled)
            w -= a->lr * a->weight_decay * w;
        else
            g += a->weight_decay * w;
        double m0 = m ? m[i] : 0, v0 = v ? v[i] : 0;
        switch (a->kind) {
        case PF_OPTIM_ADAMW:
            m0 = a->beta1 * m0 + (1 - a->beta1) * g;
            v0 = a->beta2 * v0 + (1 - a->beta2) * g * g;
            step = m0 / a->bias1 / (sqrt(v0 / a->bias2) + a->eps);
            break;
        case PF_OPTIM_SGD:
            step = m0 = a->momentum * m0 + g;
            break;
        case PF_OPTIM_RMSPROP:
            v0 = a->alpha * v0 + (1 - a->alpha) * g * g;
            step = m0 = a->momentum * m0 + g / (sqrt(v0) + a->eps);
            break;
        case PF_OPTIM_LION:
        default:
            step = a->beta1 * m0 + (1 - a->beta1) * g;
            step = step > 0 ? 1 : step < 0 ? -1 : 0;
            m0 = a->beta2 * m0 + (1 - a->beta2) * g;
            break;
        }
        p[i] = (float)(w - a->lr * step);
        if (m)
            m[i] = (float)m0;
        if (v)
            v[i] = (float)v0;
    }
}
