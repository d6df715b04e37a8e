/* SPDX-License-Identifier: MIT
 *
 * One token per sequence at a time, with a cache of keys and values: the
 * graph of forward.c with attention over the cache. It uses the model's
 * activation buffers, so a kept forward is forgotten. */
#include "model/model_int.h"

#include "base/mem.h"

#include <string.h>

struct pf_decode {
    pf_model *m;
    int n_seq, max_len;
    char *cache;       /* device: [L][2][n_seq][max_len][G*D] act */
    size_t cache_bytes, row_bytes;
    int32_t *len;      /* [n_seq] tokens fed so far */
    int32_t *seq, *tok, *pos, *first; /* [n_seq] of the sequences in a step */
    void **k, **v;     /* [n_seq] */
};

int pf_decode_new(pf_decode **out, pf_model *m, int n_seq, int max_len,
                  pf_err *e)
{
    *out = NULL;
    const pf_config *c = &m->cfg;
    if (n_seq < 1 || max_len < 1 || max_len > c->max_pos)
        return pf_err_set(e, PF_E_LIMIT,
                          "%d tokens in a sequence: the model has positions "
                          "for %lld",
                          max_len, (long long)c->max_pos);
    pf_decode *d = pf_calloc(1, sizeof *d);
    if (!d)
        return pf_err_nomem(e);
    d->m = m;
    d->n_seq = n_seq;
    d->max_len = max_len;
    d->row_bytes = (size_t)c->G * (size_t)c->D * (size_t)m->be->caps.act_size;
    size_t n = (size_t)n_seq, rows;
    d->len = pf_calloc(n * 5, sizeof *d->len);
    d->k = pf_calloc(n * 2, sizeof *d->k);
    int rc = d->len && d->k ? 0 : pf_err_nomem(e);
    if (rc == 0) {
        d->seq = d->len + n;
        d->tok = d->len + 2 * n;
        d->pos = d->len + 3 * n;
        d->first = d->len + 4 * n;
        d->v = d->k + n;
        if (!pf_mul(n * 2 * (size_t)c->L, (size_t)max_len, &rows) ||
            !pf_mul(rows, d->row_bytes, &d->cache_bytes) ||
            !(d->cache = m->be->ops->alloc(m->be, d->cache_bytes)))
            rc = pf_err_set(e, PF_E_LIMIT, "out of memory: a cache of %d x %d "
                            "tokens", n_seq, max_len);
    }
    if (rc == 0)
        rc = pf_model_reserve(m, n_seq, n_seq, NULL, e);
    if (rc == 0)
        rc = pf_rope_reserve(m, max_len, e);
    if (rc < 0)
        pf_decode_free(d);
    else
        *out = d;
    return rc;
}

void pf_decode_free(pf_decode *d)
{
    if (!d)
        return;
    if (d->cache)
        d->m->be->ops->free(d->m->be, d->cache, d->cache_bytes);
    pf_free(d->len);
    pf_free(d->k);
    pf_free(d);
}

/* The caches of the sequences in this step, for layer l. */
static void point_caches(pf_decode *d, int l, int n)
{
    size_t seq = (size_t)d->max_len * d->row_bytes;
    size_t layer = (size_t)l * 2 * (size_t)d->n_seq * seq;
    int32_t window = d->m->cfg.window[l];
    for (int i = 0; i < n; i++) {
        size_t at = layer + (size_t)d->seq[i] * seq;
        d->k[i] = d->cache + at;
        d->v[i] = d->cache + at + (size_t)d->n_seq * seq;
        d->first[i] = window ? PF_MAX(d->pos[i] - window + 1, 0) : 0;
    }
}

static void layer_step(pf_decode *d, int l, int n)
{
    pf_model *m = d->m;
    const pf_ops *ops = m->be->ops;
    const pf_layer *y = &m->layer[l];
    pf_acts *a = &m->acts[0];
    pf_attn attn = {.H = m->cfg.H,
                    .G = m->cfg.G,
                    .D = m->cfg.D,
                    .scale = m->cfg.attn_scale,
                    .softcap = m->cfg.attn_softcap};
    point_caches(d, l, n);
    pf_layer_qkv(m, l, d->pos, n, a);
    ops->attn_decode(m->be, a->o, a->qkv, d->k, d->v, d->first, d->pos, n,
                     &attn);
    ops->linear_add(m->be, a->x1, a->o, y->o.w, y->o.bias, n);
    pf_layer_mlp_in(m, l, n, a);
    ops->linear_add(m->be, a->x1, m->h, y->down.w, y->down.bias, n);
}

/* The sequences that are fed, packed to the front. */
static int gather(pf_decode *d, const int32_t *id, pf_err *e)
{
    int n = 0;
    for (int s = 0; s < d->n_seq; s++) {
        if (id[s] < 0)
            continue;
        if (id[s] >= d->m->cfg.V)
            return pf_err_set(e, PF_E_FORMAT, "token id %d: the model has %lld",
                              id[s], (long long)d->m->cfg.V);
        if (d->len[s] >= d->max_len)
            return pf_err_set(e, PF_E_LIMIT, "a sequence of over %d tokens",
                              d->max_len);
        d->seq[n] = s;
        d->tok[n] = id[s];
        d->pos[n++] = d->len[s];
    }
    return n;
}

int pf_decode_step(pf_decode *d, const int32_t *id, float *logits, pf_err *e)
{
    pf_model *m = d->m;
    const pf_ops *ops = m->be->ops;
    const pf_config *c = &m->cfg;
    int n = gather(d, id, e);
    if (n <= 0)
        return n;
    m->kept = false;
    pf_acts *a = &m->acts[0];
    a->x0 = a->x1; /* one stream, in place */
    ops->embed(m->be, a->x1, m->wte, m->wpe, d->tok, d->pos, c->embed_scale, n);
    for (int l = 0; l < c->L; l++)
        layer_step(d, l, n);
    ops->norm(m->be, m->xh, m->stat_h, a->x1, m->final_norm.w,
              m->final_norm.b, c->norm, c->eps, NULL, n, c->C);
    ops->logits(m->be, logits, m->xh, m->head, c->logit_softcap, n);
    for (int i = n; i-- > 0;) {
        d->len[d->seq[i]]++;
        if (d->seq[i] != i)
            memmove(logits + (size_t)d->seq[i] * (size_t)c->V,
                    logits + (size_t)i * (size_t)c->V,
                    (size_t)c->V * sizeof *logits);
    }
    return 0;
}
