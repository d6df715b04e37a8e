/* SPDX-License-Identifier: MIT
 *
 * The oracle's attention. Scores are computed twice rather than stored. */
#include "backend/ref_int.h"

#include <math.h>
#include <string.h>

/* softcap: s -> cap * tanh(s / cap). */
static double cap(double s, float softcap)
{
    return softcap > 0 ? softcap * tanh(s / (double)softcap) : s;
}

static double dot(const double *a, const double *b, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

/* Is key j one that row i sees? */
static bool sees(const pf_attn *a, int64_t i, int32_t j)
{
    const pf_keys *k = &a->keys[i];
    bool in = (j >= k->p0 && j < k->p1) || (j >= k->b0 && j < k->b1);
    return in && !(a->drop && a->drop[j]);
}

/* Where row i's q, k and v of a head lie in qkv. */
static const double *q_of(const pf_attn *a, const void *qkv, int64_t i, int h)
{
    return (const double *)qkv + i * (a->H + 2 * a->G) * a->D + h * a->D;
}
static const double *k_of(const pf_attn *a, const void *qkv, int64_t i, int g)
{
    return q_of(a, qkv, i, a->H + g);
}
static const double *v_of(const pf_attn *a, const void *qkv, int64_t i, int g)
{
    return q_of(a, qkv, i, a->H + a->G + g);
}

static double score(const pf_attn *a, const double *q, const double *k)
{
    return cap(dot(q, k, a->D) * (double)a->scale, a->softcap);
}

/* o = sum of softmax(scores) v over the keys of one row and head; returns the
 * log-sum-exp, -inf when the row sees nothing. */
static double attend(const pf_attn *a, double *o, const void *qkv, int64_t i,
                     int h)
{
    int g = h / (a->H / a->G);
    int32_t end = a->keys[i].b1;
    const double *q = q_of(a, qkv, i, h);
    double max = -INFINITY, sum = 0;
    for (int32_t j = 0; j < end; j++)
        if (sees(a, i, j))
            max = fmax(max, score(a, q, k_of(a, qkv, j, g)));
    memset(o, 0, (size_t)a->D * sizeof *o);
    for (int32_t j = 0; j < end; j++) {
        if (!sees(a, i, j))
            continue;
        double p = exp(score(a, q, k_of(a, qkv, j, g)) - max);
        const double *v = v_of(a, qkv, j, g);
        sum += p;
        for (int d = 0; d < a->D; d++)
            o[d] += p * v[d];
    }
    for (int d = 0; sum > 0 && d < a->D; d++)
        o[d] /= sum;
    return sum > 0 ? max + log(sum) : -INFINITY;
}

void pf_ref_attn(pf_backend *be, void *o, void *lse, const void *qkv,
                 const pf_attn *a, int64_t M)
{
    (void)be;
    for (int64_t i = 0; i < M; i++)
        for (int h = 0; h < a->H; h++)
            ((double *)lse)[i * a->H + h] =
                attend(a, (double *)o + (i * a->H + h) * a->D, qkv, i, h);
}

/* dS = P (dP - D), D = dO . O (Dao et al., FlashAttention-2, section 2.3). */
void pf_ref_attn_bwd(pf_backend *be, void *dqkv, const void *d_o,
                     const void *o, const void *qkv, const void *lse,
                     const pf_attn *a, int64_t M)
{
    (void)be;
    int64_t width = (int64_t)(a->H + 2 * a->G) * a->D;
    memset(dqkv, 0, (size_t)(M * width) * sizeof(double));
    for (int64_t i = 0; i < M; i++)
        for (int h = 0; h < a->H; h++) {
            int g = h / (a->H / a->G);
            const double *q = q_of(a, qkv, i, h);
            double *dq = (double *)dqkv + (q - (const double *)qkv);
            int64_t at = (i * a->H + h) * a->D;
            const double *dout = (const double *)d_o + at;
            double D = dot(dout, (const double *)o + at, a->D);
            for (int32_t j = 0; j < a->keys[i].b1; j++) {
                if (!sees(a, i, j))
                    continue;
                const double *k = k_of(a, qkv, j, g), *v = v_of(a, qkv, j, g);
                double *dk = (double *)dqkv + (k - (const double *)qkv);
                double *dv = (double *)dqkv + (v - (const double *)qkv);
                double s = score(a, q, k);
                double p = exp(s - ((const double *)lse)[i * a->H + h]);
                double ds = p * (dot(dout, v, a->D) - D) * (double)a->scale;
                if (a->softcap > 0)
                    ds *= 1 - (s / a->softcap) * (s / a->softcap);
                for (int d = 0; d < a->D; d++) {
                    dv[d] += p * dout[d];
                    dq[d] += ds * k[d];
                    dk[d] += ds * q[d];
                }
            }
        }
}

static void decode_head(const pf_attn *a, double *o, const double *q,
                        const double *k, const double *v, int32_t first,
                        int32_t last)
{
    int64_t ld = (int64_t)a->G * a->D;
    double max = -INFINITY, sum = 0;
    for (int32_t j = first; j <= last; j++)
        max = fmax(max, score(a, q, k + j * ld));
    memset(o, 0, (size_t)a->D * sizeof *o);
    for (int32_t j = first; j <= last; j++) {
        double p = exp(score(a, q, k + j * ld) - max);
        sum += p;
        for (int d = 0; d < a->D; d++)
            o[d] += p * v[j * ld + d];
    }
    for (int d = 0; d < a->D; d++)
        o[d] /= sum;
}

void pf_ref_attn_decode(pf_backend *be, void *o, const void *qkv,
                        void *const *k, void *const *v, const int32_t *first,
                        const int32_t *len, int n, const pf_attn *a)
{
    (void)be;
    size_t row = (size_t)a->G * (size_t)a->D * sizeof(double);
    for (int i = 0; i < n; i++) {
        memcpy((char *)k[i] + (size_t)len[i] * row, k_of(a, qkv, i, 0), row);
        memcpy((char *)v[i] + (size_t)len[i] * row, v_of(a, qkv, i, 0), row);
        for (int h = 0; h < a->H; h++) {
            int64_t g = h / (a->H / a->G);
            decode_head(a, (double *)o + ((int64_t)i * a->H + h) * a->D,
                        q_of(a, qkv, i, h), (const double *)k[i] + g * a->D,
                        (const double *)v[i] + g * a->D, first[i], len[i]);
        }
    }
}
