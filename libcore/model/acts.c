/* SPDX-License-Identifier: MIT
 *
 * Memory of activations, planned before any is allocated, and the tables
 * that depend on the block size.
 *
 * Scoring needs one layer's buffers and one residual stream. Training keeps
 * every layer's, save what is cheap to recompute (norm outputs, activations
 * of the feed-forward part); with checkpointing only the residual streams. */
#include "model/model_int.h"

#include "base/bytes.h"
#include "base/mem.h"

#include <math.h>
#include <string.h>

/* Cuts pieces of 64-byte multiples; with base == NULL it only counts. */
typedef struct cutter {
    char *base;
    size_t used;
    bool overflow;
} cutter;

static void *cut(cutter *c, int64_t rows, int64_t width, int size)
{
    size_t n, bytes;
    if (!pf_mul((size_t)rows, (size_t)width, &n) ||
        !pf_mul(n, (size_t)size, &bytes) || bytes > SIZE_MAX / 2 ||
        !pf_add(c->used, (size_t)pf_align_up(bytes, 64), &n)) {
        c->overflow = true;
        return NULL;
    }
    void *p = c->base ? c->base + c->used : NULL;
    c->used = n;
    return p;
}

static void cut_layer(pf_model *m, cutter *c, pf_acts *a, int64_t M)
{
    const pf_config *g = &m->cfg;
    int act = m->be->caps.act_size, acc = m->be->caps.acc_size;
    a->stat1 = cut(c, M, 2, acc);
    a->stat2 = cut(c, M, 2, acc);
    if (g->qk_norm != PF_QK_NONE) {
        a->qkv_raw = m->train ? cut(c, M, m->n_qkv, act) : NULL;
        a->q_inv = cut(c, M, g->H, acc);
        a->k_inv = cut(c, M, g->G, acc);
    }
    a->qkv = cut(c, M, m->n_qkv, act);
    a->lse = cut(c, M, g->H, acc);
    a->o = cut(c, M, (int64_t)g->H * g->D, act);
    a->up = cut(c, M, m->n_up, act);
}

static void cut_all(pf_model *m, cutter *c, int64_t M, int64_t R)
{
    const pf_config *g = &m->cfg;
    int act = m->be->caps.act_size, acc = m->be->caps.acc_size;
    int64_t C = g->C, width = (int64_t)g->H * g->D;
    int sets = m->train && !m->checkpointing ? g->L : 1;
    m->x0[0] = cut(c, M, C, acc);
    for (int l = 1; l <= g->L; l++)
        m->x0[l] = m->train ? cut(c, M, C, acc) : m->x0[0];
    for (int l = 0; l < sets; l++) {
        m->acts[l].x0 = m->x0[l];
        m->acts[l].x1 = m->train ? cut(c, M, C, acc) : m->x0[0];
        cut_layer(m, c, &m->acts[l], M);
    }
    m->n = cut(c, M, C, act);
    m->h = cut(c, M, g->I, act);
    m->xh = cut(c, R, C, act);
    m->stat_h = cut(c, R, 2, acc);
    if (!m->train)
        return;
    m->dx = cut(c, M, C, acc);
    m->dy = cut(c, M, C, act);
    m->dn = cut(c, M, C, act);
    m->dh = cut(c, M, PF_MAX(g->I, width), act);
    m->dwide = cut(c, M, PF_MAX(m->n_up, m->n_qkv), act);
    m->dxh = cut(c, R, C, act);
}

/* Host arrays of the head: per target or head row; targets <= rows. */
static int head_host(pf_model *m, int64_t M, int64_t R, pf_err *e)
{
    pf_free(m->head_mem);
    pf_head *h = &m->head_args;
    *h = (pf_head){0};
    size_t r = (size_t)R, t = (size_t)M;
    double *p = pf_calloc(r + t + (r * 4 + t) / 2 + 1, sizeof *p);
    m->head_mem = p;
    if (!p)
        return pf_err_nomem(e);
    h->lse = p;
    h->logp64 = p + r;
    h->logp = (float *)(p + r + t);
    h->entropy = h->logp + t;
    h->sum_p2 = h->entropy + r;
    h->mean_logit = h->sum_p2 + r;
    h->top1 = (int32_t *)(h->mean_logit + r);
    return 0;
}

static int host_arrays(pf_model *m, int64_t M, int64_t R, pf_err *e)
{
    int sets = m->train && !m->checkpointing ? m->cfg.L : 1;
    pf_free(m->window_keys);
    pf_free(m->drop);
    m->window_keys = pf_calloc((size_t)M, sizeof *m->window_keys);
    m->drop = pf_calloc((size_t)M, 1);
    if (!m->x0)
        m->x0 = pf_calloc((size_t)m->cfg.L + 1, sizeof *m->x0);
    if (!m->acts)
        m->acts = pf_calloc((size_t)sets, sizeof *m->acts);
    if (!m->window_keys || !m->drop || !m->x0 || !m->acts)
        return pf_err_nomem(e);
    return head_host(m, M, R, e);
}

static void free_acts(pf_model *m)
{
    if (m->act_mem)
        m->be->ops->free(m->be, m->act_mem, m->act_bytes);
    m->act_mem = NULL;
    m->act_bytes = 0;
    m->rows = m->head_rows = 0;
    m->kept = false;
}

int pf_model_reserve(pf_model *m, int64_t rows, int64_t head_rows,
                     uint64_t *bytes, pf_err *e)
{
    const pf_config *c = &m->cfg;
    int64_t M = PF_MAX(PF_MAX(rows, m->rows), 1);
    int64_t R = PF_MAX(PF_MAX(head_rows, m->head_rows), 1);
    if (M == m->rows && R == m->head_rows) {
        if (bytes)
            *bytes = m->act_bytes;
        return 0;
    }
    free_acts(m);
    int rc = host_arrays(m, M, R, e);
    if (rc < 0)
        return rc;
    cutter count = {0};
    cut_all(m, &count, M, R);
    if (bytes)
        *bytes = count.used;
    cutter real = {0};
    if (!count.overflow)
        real.base = m->be->ops->alloc(m->be, count.used);
    if (!real.base)
        return pf_err_set(e, PF_E_LIMIT,
                          "out of memory: %.1f MiB of activations for blocks "
                          "of %lld tokens",
                          (double)count.used / 0x1p20, (long long)M);
    m->act_mem = real.base;
    m->act_bytes = count.used;
    cut_all(m, &real, M, R);
    rc = pf_rope_reserve(m, PF_MIN(M, c->max_pos), e);
    if (rc == 0)
        rc = m->be->ops->reserve(m->be, M, R, c->H, c->G, c->D, c->C, c->I,
                                 c->V, m->train, e);
    if (rc < 0)
        return rc;
    m->rows = M;
    m->head_rows = R;
    return 0;
}

void pf_acts_release(pf_model *m)
{
    free_acts(m);
    pf_free(m->rope);
    pf_free(m->window_keys);
    pf_free(m->drop);
    pf_free(m->x0);
    pf_free(m->acts);
    pf_free(m->head_mem);
}

/* ---------------------------------------------------------------- RoPE -- */

/* Frequencies as transformers 5 (modeling_rope_utils.py): in f32, because
 * that is what its models are defined by; at position 8000 exact arithmetic
 * would differ from them in the fourth digit of the angle. */
static float frequency(const pf_rope *r, int i, int D)
{
    float exponent = (float)(2 * i) / (float)D;
    float f = 1.0f / (float)pow(r->theta, exponent);
    float factor = (float)r->factor;
    if (r->kind == PF_ROPE_LINEAR)
        return f / factor;
    if (r->kind != PF_ROPE_LLAMA3)
        return f;
    double wavelen = 2 * 3.14159265358979323846 / f;
    double L = (double)r->original_max;
    if (wavelen > L / r->low_freq)
        return f / factor;
    if (wavelen < L / r->high_freq)
        return f;
    double s = (L / wavelen - r->low_freq) / (r->high_freq - r->low_freq);
    return (float)((1 - s) * (double)(f / factor) + s * (double)f);
}

int pf_rope_reserve(pf_model *m, int64_t n, pf_err *e)
{
    int half = m->cfg.D / 2;
    if (m->cfg.pos != PF_POS_ROPE || n <= m->n_pos)
        return 0;
    size_t per = (size_t)half * 2, count;
    double *t = pf_mul((size_t)n, per, &count) ? pf_calloc(count, sizeof *t)
                                               : NULL;
    if (!t)
        return pf_err_nomem(e);
    for (int i = 0; i < half; i++) {
        float f = frequency(&m->cfg.rope[0], i, m->cfg.D);
        for (int64_t p = 0; p < n; p++) {
            float angle = (float)p * f;
            double *cs = t + (size_t)p * per + 2 * (size_t)i;
            cs[0] = (double)(float)cos((double)angle);
            cs[1] = (double)(float)sin((double)angle);
        }
    }
    pf_free(m->rope);
    m->rope = t;
    m->n_pos = n;
    return 0;
}

/* ------------------------------------------------------------- windows -- */

/* A row at position q sees positions above q - window: of its own run and,
 * what is left, of the prompt. */
void pf_window_cut(pf_model *m, const pf_block *b)
{
    for (int32_t i = 0; m->window && i < b->n_row; i++) {
        pf_keys k = b->keys[i];
        int32_t own = k.b1 - k.b0; /* keys of its own run, itself included */
        int32_t rest = PF_MAX(m->window - own, 0);
        k.b0 = PF_MAX(k.b0, k.b1 - PF_MIN(m->window, own));
        k.p0 = PF_MAX(k.p0, k.p1 - PF_MIN(rest, k.p1 - k.p0));
        m->window_keys[i] = k;
    }
}

const pf_keys *pf_layer_keys(const pf_model *m, int l, const pf_block *b)
{
    return m->cfg.window[l] ? m->window_keys : b->keys;
}
