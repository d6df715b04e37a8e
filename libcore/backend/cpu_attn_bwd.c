/* SPDX-License-Identifier: MIT
 *
 * Attention backward (Dao 2023, FlashAttention-2, section 2.3): with
 * D = dO . O and P = exp(S - lse) computed again,
 *   dP = dO V^T   dS = P (dP - D) scale   dQ = dS K   dK += dS^T Q
 *   dV += P^T dO.
 * A task is one key-value head of one group with all its query heads, and
 * owns that slice of dqkv: sums run over heads, then rows, in order. */
#include "backend/cpu_attn_int.h"

#include <string.h>

typedef struct pf_attn_bwd_job {
    pf_cpu_be *c;
    const pf_attn *a;
    float *dqkv;
    const float *d_o, *o, *qkv, *lse;
} pf_attn_bwd_job;

/* Where a task's operands lie in its scratch. */
typedef struct pf_attn_bwd_mem {
    float *keys_turned, *values_turned, *keys; /* of the group */
    float *q, *d_o;             /* lines of a block */
    float *q_panels, *do_panels; /* the same as right operands */
    float *s, *ds;
    uint16_t *bits, *hidden;
} pf_attn_bwd_mem;

static pf_attn_bwd_mem layout(const pf_attn_bwd_job *j, int thread, int64_t n)
{
    const pf_gemm_kern *g = j->c->gemm;
    int64_t rows = pf_attn_rows(g), D = j->a->D;
    int64_t line = rows * pf_round_up(D, PF_LINE);
    int64_t panel = rows * pf_round_up(D, g->nr);
    pf_attn_bwd_mem m;
    m.keys_turned = pf_cpu_scratch(j->c, thread);
    m.values_turned = m.keys_turned + n * D;
    m.keys = m.values_turned + n * D;
    m.q = m.keys + n * pf_round_up(D, g->nr);
    m.d_o = m.q + line;
    m.q_panels = m.d_o + line;
    m.do_panels = m.q_panels + panel;
    m.s = m.do_panels + panel;
    m.ds = m.s + rows * n;
    m.bits = (uint16_t *)(m.ds + rows * n);
    m.hidden = m.bits + n / PF_LINE;
    return m;
}

/* out[key] += sum over the block's rows of s(row, key) x(row), for the keys of
 * the block's runs; x as panels over D. */
static void scatter(const pf_gemm_kern *g, float *out, int64_t ld,
                    const pf_attn_block *b, const float *s, const float *x,
                    int D)
{
    int64_t line = pf_attn_rows(g) * PF_LINE;
    pf_tile t = {.a_step = PF_LINE,
                 .ldb = g->nr,
                 .ldc = ld,
                 .c_line = PF_LINE,
                 .mode = PF_TILE_MORE};
    for (int r = 0; r < b->n_run; r++) {
        int64_t end = PF_MIN(b->end[r], b->n_key);
        for (int64_t k = b->first[r]; k < end; k += g->half) {
            int64_t at = k - b->first[r];
            int64_t skip = 0; /* rows before the first that sees key k */
            while (skip < b->n && b->tile_end[skip / g->mr] <= k)
                skip += g->mr;
            if (skip >= b->n)
                continue;
            t.depth = b->n - skip;
            t.a = s + at / PF_LINE * line + at % PF_LINE + skip * PF_LINE;
            t.rows = (int)PF_MIN(g->half, end - k);
            for (int64_t d = 0; d < D; d += g->nr) {
                t.b = x + d * b->n + skip * g->nr;
                t.cols = (int)PF_MIN(g->nr, D - d);
                t.c = out + k * ld + d;
                g->columns(&t);
            }
        }
        s += (b->end[r] - b->first[r]) / PF_LINE * line;
    }
}

static void block_bwd(const pf_attn_bwd_job *j, const pf_attn_bwd_mem *m,
                      const pf_attn_block *b, const uint16_t *drop, int h,
                      int kv)
{
    const pf_attn *a = j->a;
    const pf_gemm_kern *g = j->c->gemm;
    int D = a->D;
    int64_t ld = (int64_t)(a->H + 2 * a->G) * D, ldo = (int64_t)a->H * D;
    int64_t line = pf_attn_rows(g) * PF_LINE;
    const float *q = j->qkv + b->row * ld + (int64_t)h * D;
    const float *d_o = j->d_o + b->row * ldo + (int64_t)h * D;
    const float *o = j->o + b->row * ldo + (int64_t)h * D;
    pf_cpu_pack_lines(g, m->q, q, ld, b->n, D);
    pf_cpu_pack_lines(g, m->d_o, d_o, ldo, b->n, D);
    pf_attn_pack_panels(g, m->q_panels, q, ld, b->n, D);
    pf_attn_pack_panels(g, m->do_panels, d_o, ldo, b->n, D);
    pf_attn_scores(g, m->s, b, m->q, m->keys_turned, D);
    pf_attn_scores(g, m->ds, b, m->d_o, m->values_turned, D);
    for (int64_t i = 0; i < b->n; i++) {
        float delta = (float)j->c->rows->dot(d_o + i * ldo, o + i * ldo, D);
        pf_attn_bits(m->bits, b, &a->keys[b->row + i], drop);
        j->c->rows->probs_bwd(m->s + i * PF_LINE, m->ds + i * PF_LINE, line,
                              m->bits, b->n_line, a->scale, a->softcap,
                              j->lse[(b->row + i) * a->H + h], delta);
    }
    float *group = j->dqkv + b->key * ld;
    pf_attn_gather(g, j->dqkv + b->row * ld + (int64_t)h * D, ld, b, m->ds,
                   m->keys, D);
    scatter(g, group + (int64_t)(a->H + kv) * D, ld, b, m->ds, m->q_panels, D);
    scatter(g, group + (int64_t)(a->H + a->G + kv) * D, ld, b, m->s,
            m->do_panels, D);
}

static void attn_bwd_task(void *arg, int task, int thread)
{
    const pf_attn_bwd_job *j = arg;
    const pf_attn *a = j->a;
    const pf_gemm_kern *g = j->c->gemm;
    pf_group group = a->group[task / a->G];
    int kv = task % a->G, per = a->H / a->G, D = a->D;
    int64_t ld = (int64_t)(a->H + 2 * a->G) * D, step = pf_attn_rows(g);
    const float *k = j->qkv + group.row * ld + (int64_t)(a->H + kv) * D;
    const float *v = k + (int64_t)a->G * D;
    pf_attn_bwd_mem m = layout(j, thread, pf_round_up(group.n, PF_KEY_UNIT));
    pf_attn_pack_turned(g, m.keys_turned, k, ld, group.n, D);
    pf_attn_pack_turned(g, m.values_turned, v, ld, group.n, D);
    pf_attn_pack_panels(g, m.keys, k, ld, group.n, D);
    const uint16_t *drop = pf_attn_drop_bits(m.hidden, a, group);
    for (int h = kv * per; h < (kv + 1) * per; h++)
        for (int64_t i = 0; i < group.n; i += step) {
            pf_attn_block b;
            pf_attn_block_init(&b, g, a, group, group.row + i,
                               PF_MIN(step, group.n - i));
            if (b.n_run)
                block_bwd(j, &m, &b, drop, h, kv);
        }
}

void pf_cpu_attn_bwd(pf_backend *be, void *dqkv, const void *d_o,
                     const void *o, const void *qkv, const void *lse,
                     const pf_attn *a, int64_t M)
{
    pf_attn_bwd_job j = {pf_cpu_of(be), a, dqkv, d_o, o, qkv, lse};
    PF_ASSERT(j.c->train && M <= j.c->max_rows && a->D <= j.c->head_dim);
    memset(dqkv, 0,
           (size_t)(M * (a->H + 2 * a->G) * a->D) * sizeof(float));
    pf_pool_run(be->pool, attn_bwd_task, &j, a->n_group * a->G);
}
