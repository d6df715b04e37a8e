/* SPDX-License-Identifier: MIT
 *
 * Opening, memory, weights and matrix products of the oracle. The rest of its
 * operations: ref_layer.c, ref_attn.c, ref_head.c. */
#include "backend/ref.h"
#include "backend/ref_int.h"

#include "base/mem.h"

#include <stdio.h>
#include <string.h>

/* -------------------------------------------------------------- memory -- */

static void *ref_alloc(pf_backend *be, size_t bytes)
{
    (void)be;
    return pf_alloc_big(bytes);
}

static void ref_free(pf_backend *be, void *p, size_t bytes)
{
    (void)be;
    pf_free_big(p, bytes);
}

static void ref_copy(pf_backend *be, void *dst, const void *src, size_t n)
{
    (void)be;
    memcpy(dst, src, n);
}

static void ref_zero(pf_backend *be, void *p, size_t n)
{
    (void)be;
    memset(p, 0, n);
}

static void ref_sync(pf_backend *be)
{
    (void)be;
}

static int ref_reserve(pf_backend *be, int64_t max_rows, int64_t head_rows,
                       int H, int G, int D, int64_t C, int64_t I, int64_t V,
                       bool train, pf_err *e)
{
    (void)max_rows, (void)head_rows, (void)H, (void)G, (void)D, (void)C;
    (void)I, (void)train;
    pf_ref *r = (pf_ref *)be;
    if (V <= r->V)
        return 0;
    double *logit = pf_calloc((size_t)V, sizeof *logit);
    if (!logit)
        return pf_err_nomem(e);
    pf_free(r->logit);
    r->logit = logit;
    r->V = V;
    return 0;
}

/* ------------------------------------------------------------- weights -- */

pf_ref_row pf_ref_row_of(const pf_weight *w, int64_t o)
{
    int p = 0;
    while (o >= w->part[p].n_out)
        o -= w->part[p++].n_out;
    const pf_part *part = &w->part[p];
    int64_t first = part->in_by_out ? o : o * w->n_in;
    double *grad = part->grad;
    return (pf_ref_row){part->master + first, grad ? grad + first : NULL,
                        part->in_by_out ? part->n_out : 1};
}

static void ref_weight_free(pf_backend *be, pf_weight *w)
{
    (void)be;
    if (!w)
        return;
    pf_free(w->part);
    pf_free(w->w);
    pf_free(w);
}

static pf_weight *ref_weight_new(pf_backend *be, const pf_part *part,
                                 int n_part, int64_t n_in, bool train)
{
    (void)train;
    size_t count;
    pf_weight *w = pf_calloc(1, sizeof *w);
    if (!w)
        return NULL;
    w->n_part = n_part;
    w->n_in = n_in;
    for (int p = 0; p < n_part; p++)
        w->n_out += part[p].n_out;
    w->part = pf_calloc((size_t)n_part, sizeof *part);
    w->w = pf_mul((size_t)w->n_out, (size_t)n_in, &count)
               ? pf_calloc(count, sizeof *w->w)
               : NULL;
    if (!w->part || !w->w) {
        ref_weight_free(be, w);
        return NULL;
    }
    memcpy(w->part, part, (size_t)n_part * sizeof *part);
    return w;
}

static void ref_weight_pack(pf_backend *be, pf_weight *w)
{
    (void)be;
    for (int64_t o = 0; o < w->n_out; o++) {
        pf_ref_row r = pf_ref_row_of(w, o);
        for (int64_t i = 0; i < w->n_in; i++)
            w->w[o * w->n_in + i] = r.master[i * r.stride];
    }
}

/* ------------------------------------------------------ matrix products -- */

static void matmul(double *y, const double *x, const pf_weight *w,
                   const float *bias, int64_t M, bool add)
{
    for (int64_t m = 0; m < M; m++)
        for (int64_t o = 0; o < w->n_out; o++) {
            const double *a = x + m * w->n_in, *b = w->w + o * w->n_in;
            double sum = 0;
            for (int64_t i = 0; i < w->n_in; i++)
                sum += a[i] * b[i];
            sum += bias ? bias[o] : 0;
            double *out = &y[m * w->n_out + o];
            *out = add ? *out + sum : sum;
        }
}

static void ref_linear(pf_backend *be, void *y, const void *x,
                       const pf_weight *w, const float *bias, int64_t M)
{
    (void)be;
    matmul(y, x, w, bias, M, false);
}

static void ref_linear_add(pf_backend *be, void *res, const void *x,
                           const pf_weight *w, const float *bias, int64_t M)
{
    (void)be;
    matmul(res, x, w, bias, M, true);
}

static void ref_linear_dgrad(pf_backend *be, void *dx, const void *dy,
                             const pf_weight *w, int64_t M)
{
    (void)be;
    double *out = dx;
    const double *d = dy;
    memset(out, 0, (size_t)(M * w->n_in) * sizeof *out);
    for (int64_t m = 0; m < M; m++)
        for (int64_t o = 0; o < w->n_out; o++)
            for (int64_t i = 0; i < w->n_in; i++)
                out[m * w->n_in + i] +=
                    d[m * w->n_out + o] * w->w[o * w->n_in + i];
}

static void ref_linear_wgrad(pf_backend *be, pf_weight *w, void *dbias,
                             const void *dy, const void *x, int64_t M)
{
    (void)be;
    const double *d = dy, *in = x;
    double *db = dbias;
    for (int64_t o = 0; o < w->n_out; o++) {
        pf_ref_row r = pf_ref_row_of(w, o);
        for (int64_t m = 0; m < M; m++) {
            double g = d[m * w->n_out + o];
            if (db)
                db[o] += g;
            for (int64_t i = 0; r.grad && i < w->n_in; i++)
                r.grad[i * r.stride] += g * in[m * w->n_in + i];
        }
    }
}

static void ref_cast(pf_backend *be, void *act, const void *acc, int64_t n)
{
    (void)be;
    memcpy(act, acc, (size_t)n * sizeof(double));
}

static void ref_add(pf_backend *be, void *acc, const void *act, int64_t n)
{
    (void)be;
    double *a = acc;
    const double *b = act;
    for (int64_t i = 0; i < n; i++)
        a[i] += b[i];
}

/* ---------------------------------------------------------------- open -- */

static const pf_ops ref_ops = {
    .alloc = ref_alloc,
    .free = ref_free,
    .copy_in = ref_copy,
    .copy_out = ref_copy,
    .copy = ref_copy,
    .zero = ref_zero,
    .sync = ref_sync,
    .reserve = ref_reserve,
    .weight_new = ref_weight_new,
    .weight_free = ref_weight_free,
    .weight_pack = ref_weight_pack,
    .linear = ref_linear,
    .linear_add = ref_linear_add,
    .linear_dgrad = ref_linear_dgrad,
    .linear_wgrad = ref_linear_wgrad,
    .embed = pf_ref_embed,
    .embed_bwd = pf_ref_embed_bwd,
    .norm = pf_ref_norm,
    .norm_bwd = pf_ref_norm_bwd,
    .norm_add = pf_ref_norm_add,
    .norm_add_bwd = pf_ref_norm_add_bwd,
    .qk_norm = pf_ref_qk_norm,
    .qk_norm_bwd = pf_ref_qk_norm_bwd,
    .rope = pf_ref_rope,
    .attn = pf_ref_attn,
    .attn_bwd = pf_ref_attn_bwd,
    .attn_decode = pf_ref_attn_decode,
    .act = pf_ref_act,
    .act_bwd = pf_ref_act_bwd,
    .head = pf_ref_head,
    .head_bwd = pf_ref_head_bwd,
    .logits = pf_ref_logits,
    .cast = ref_cast,
    .add = ref_add,
    .sumsq = pf_ref_sumsq,
    .optim = pf_ref_optim,
};

static void ref_close(pf_backend *be)
{
    pf_ref *r = (pf_ref *)be;
    pf_free(r->logit);
    pf_free(r);
}

int pf_backend_ref_open(pf_backend **out, const char *dtype, pf_pool *pool,
                        pf_err *e)
{
    *out = NULL;
    if (strcmp(dtype, "auto") != 0 && strcmp(dtype, "f64") != 0)
        return pf_err_set(e, PF_E_USAGE,
                          "backend ref computes in f64 only, not %s", dtype);
    pf_ref *r = pf_calloc(1, sizeof *r);
    if (!r)
        return pf_err_nomem(e);
    r->base.ops = &ref_ops;
    r->base.caps = (pf_caps){.name = "ref",
                             .kernel_id = "ref/1/f64",
                             .dtype = "float64",
                             .act_size = sizeof(double),
                             .acc_size = sizeof(double),
                             .n_class = 2,
                             .block_rows = {256, 1024}};
    r->base.pool = pool;
    r->base.close = ref_close;
    *out = &r->base;
    return 0;
}
