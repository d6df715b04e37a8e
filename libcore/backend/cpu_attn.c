/* SPDX-License-Identifier: MIT
 *
 * Attention over groups, forward and decode. A task is one head of one group;
 * it packs the group's keys and values once and goes through blocks of rows:
 * scores of all visible keys (never more than PF_ATTN_ROWS rows of them),
 * softmax in place, product with the values. See cpu_attn_int.h. */
#include "backend/cpu_attn_int.h"

#include <math.h>
#include <string.h>

/* --------------------------------------------------------------- blocks -- */

/* Widens run r of b by [from, to) of batch rows. */
static void widen(int64_t *first, int64_t *end, int32_t from, int32_t to)
{
    if (from >= to)
        return;
    *first = *first < 0 ? from : PF_MIN(*first, from);
    *end = PF_MAX(*end, to);
}

void pf_attn_block_init(pf_attn_block *b, const pf_gemm_kern *g,
                        const pf_attn *a, pf_group group, int64_t row,
                        int64_t n)
{
    int64_t p0 = -1, p1 = -1, b0 = -1, b1 = -1, unit = PF_KEY_UNIT;
    *b = (pf_attn_block){
        .row = row, .n = n, .key = group.row, .n_key = group.n};
    for (int64_t i = row; i < row + n; i++) {
        const pf_keys *k = &a->keys[i];
        int64_t *end = &b->tile_end[(i - row) / g->mr];
        widen(&p0, &p1, k->p0, k->p1);
        widen(&b0, &b1, k->b0, k->b1);
        *end = PF_MAX(*end, PF_MAX(k->p1, k->b1) - b->key);
    }
    const int64_t from[2] = {p0, b0}, to[2] = {p1, b1};
    for (int r = 0; r < 2; r++) {
        if (from[r] < 0)
            continue;
        int64_t f = (from[r] - b->key) / unit * unit;
        int64_t e = pf_round_up(to[r] - b->key, unit);
        int last = b->n_run - 1;
        if (last >= 0 && f <= b->end[last]) {
            b->first[last] = PF_MIN(b->first[last], f);
            b->end[last] = PF_MAX(b->end[last], e);
            continue;
        }
        b->first[b->n_run] = f;
        b->end[b->n_run++] = e;
    }
    for (int r = 0; r < b->n_run; r++)
        b->n_line += (b->end[r] - b->first[r]) / PF_LINE;
}

/* The bits of [from, to) among 16 keys from `at`. */
static unsigned range_bits(int64_t from, int64_t to, int64_t at)
{
    int64_t f = PF_MAX(from - at, 0), t = PF_MIN(to - at, PF_LINE);
    return f >= t ? 0 : ((1u << t) - 1) & ~((1u << f) - 1);
}

void pf_attn_bits(uint16_t *bits, const pf_attn_block *b, const pf_keys *k,
                  const uint16_t *drop)
{
    for (int r = 0; r < b->n_run; r++)
        for (int64_t i = b->first[r]; i < b->end[r]; i += PF_LINE) {
            unsigned v = range_bits(k->p0, k->p1, b->key + i) |
                         range_bits(k->b0, k->b1, b->key + i);
            if (drop && v)
                v &= ~(unsigned)drop[i / PF_LINE];
            *bits++ = (uint16_t)v;
        }
}

const uint16_t *pf_attn_drop_bits(uint16_t *out, const pf_attn *a,
                                  pf_group group)
{
    if (!a->drop)
        return NULL;
    memset(out, 0, (size_t)pf_div_up(group.n, PF_LINE) * sizeof *out);
    for (int64_t i = 0; i < group.n; i++)
        if (a->drop[group.row + i])
            out[i / PF_LINE] |= (uint16_t)(1u << (i % PF_LINE));
    return out;
}

void pf_attn_pack_turned(const pf_gemm_kern *g, float *out, const float *x,
                         int64_t ld, int64_t n, int D)
{
    for (int64_t i = 0; i < n; i += g->nr, out += (int64_t)D * g->nr)
        pf_cpu_pack_turned(g, out, x + i * ld, ld, D, PF_MIN(g->nr, n - i));
}

void pf_attn_pack_panels(const pf_gemm_kern *g, float *out, const float *x,
                         int64_t ld, int64_t n, int D)
{
    for (int64_t d = 0; d < D; d += g->nr, out += n * g->nr)
        pf_cpu_pack_panel(g, out, x + d, ld, n, PF_MIN(g->nr, D - d));
}

void pf_attn_scores(const pf_gemm_kern *g, float *s, const pf_attn_block *b,
                    const float *a, const float *turned, int D)
{
    int64_t rows = pf_attn_rows(g), line = rows * PF_LINE;
    int64_t a_tile = pf_round_up(D, PF_LINE) * g->mr;
    pf_tile t = {.a_step = (int64_t)g->mr * PF_LINE,
                 .ldb = g->nr,
                 .ldc = PF_LINE,
                 .c_line = line,
                 .depth = D,
                 .mode = PF_TILE_SET};
    for (int r = 0; r < b->n_run; r++) {
        int64_t end = PF_MIN(b->end[r], b->n_key);
        for (int64_t j = b->first[r]; j < end; j += g->nr) {
            int64_t at = j - b->first[r];
            t.b = turned + j * D;
            t.cols = g->nr;
            for (int64_t i = 0; i < b->n; i += g->mr) {
                if (j >= b->tile_end[i / g->mr])
                    continue;
                t.a = a + i / g->mr * a_tile;
                t.rows = (int)PF_MIN(g->mr, b->n - i);
                t.c = s + at / PF_LINE * line + at % PF_LINE + i * PF_LINE;
                g->lines(&t);
            }
        }
        s += (b->end[r] - b->first[r]) / PF_LINE * line;
    }
}

void pf_attn_gather(const pf_gemm_kern *g, float *o, int64_t ld,
                    const pf_attn_block *b, const float *s,
                    const float *panels, int D)
{
    int64_t line = pf_attn_rows(g) * PF_LINE;
    pf_tile t = {.a_step = line,
                 .ldb = g->nr,
                 .ldc = ld,
                 .c_line = PF_LINE,
                 .mode = PF_TILE_SET};
    for (int r = 0; r < b->n_run; r++, t.mode = PF_TILE_MORE) {
        for (int64_t d = 0; d < D; d += g->nr) {
            t.b = panels + d * b->n_key + b->first[r] * g->nr;
            t.cols = (int)PF_MIN(g->nr, D - d);
            for (int64_t i = 0; i < b->n; i += g->mr) {
                int64_t end = PF_MIN(b->end[r], b->tile_end[i / g->mr]);
                t.depth = PF_MAX(end - b->first[r], 0);
                t.a = s + i * PF_LINE;
                t.rows = (int)PF_MIN(g->mr, b->n - i);
                t.c = o + i * ld + d;
                g->lines(&t);
            }
        }
        s += (b->end[r] - b->first[r]) / PF_LINE * line;
    }
}

/* -------------------------------------------------------------- scratch -- */

/* Bits of a row and of hidden keys, in floats. */
static int64_t bits_floats(int64_t n)
{
    return pf_round_up(n / PF_LINE + 1, 2 * PF_LINE) / 2;
}

void pf_cpu_attn_need(const pf_cpu_be *c, int64_t *each, int64_t *shared)
{
    int64_t n = pf_round_up(c->max_rows, PF_KEY_UNIT);
    int64_t D = pf_round_up(c->head_dim, PF_KEY_UNIT);
    int64_t kv = n * D, s = PF_ATTN_ROWS * n, rows = PF_ATTN_ROWS * D;
    *each = c->train ? 3 * kv + 2 * s + 4 * rows : 2 * kv + s + rows;
    *each += 2 * bits_floats(n);
    *shared = 0;
}

/* -------------------------------------------------------------- forward -- */

typedef struct pf_attn_job {
    pf_cpu_be *c;
    const pf_attn *a;
    float *o, *lse;
    const float *qkv;
} pf_attn_job;

/* Scores -> probabilities, not yet divided by their sums, which go to `sum`
 * with the log-sum-exp to lse. */
static void block_softmax(const pf_attn_job *j, const pf_attn_block *b,
                          float *s, uint16_t *bits, const uint16_t *drop,
                          int h, float *inv)
{
    const pf_attn *a = j->a;
    int64_t line = pf_attn_rows(j->c->gemm) * PF_LINE;
    for (int64_t i = 0; i < b->n; i++) {
        float max;
        pf_attn_bits(bits, b, &a->keys[b->row + i], drop);
        double sum =
            j->c->rows->softmax(s + i * PF_LINE, line, bits, b->n_line,
                                a->scale, a->softcap, &max);
        inv[i] = sum > 0 ? (float)(1 / sum) : 0;
        j->lse[(b->row + i) * a->H + h] =
            sum > 0 ? (float)((double)max + log(sum)) : -INFINITY;
    }
}

static void attn_task(void *arg, int task, int thread)
{
    const pf_attn_job *j = arg;
    const pf_attn *a = j->a;
    const pf_gemm_kern *g = j->c->gemm;
    pf_group group = a->group[task / a->H];
    int h = task % a->H, kv = h / (a->H / a->G), D = a->D;
    int64_t ld = (int64_t)(a->H + 2 * a->G) * D, ldo = (int64_t)a->H * D;
    int64_t n = pf_round_up(group.n, PF_KEY_UNIT), step = pf_attn_rows(g);
    const float *base = j->qkv + group.row * ld;
    float *keys = pf_cpu_scratch(j->c, thread), *values = keys + n * D;
    float *q = values + n * pf_round_up(D, g->nr);
    float *s = q + step * pf_round_up(D, PF_LINE);
    uint16_t *bits = (uint16_t *)(s + step * n);
    uint16_t *hidden = bits + n / PF_LINE;
    float inv[PF_ATTN_ROWS];
    pf_attn_pack_turned(g, keys, base + (int64_t)(a->H + kv) * D, ld, group.n,
                        D);
    pf_attn_pack_panels(g, values, base + (int64_t)(a->H + a->G + kv) * D, ld,
                        group.n, D);
    const uint16_t *drop = pf_attn_drop_bits(hidden, a, group);
    for (int64_t i = 0; i < group.n; i += step) {
        pf_attn_block b;
        pf_attn_block_init(&b, g, a, group, group.row + i,
                           PF_MIN(step, group.n - i));
        pf_cpu_pack_lines(g, q, base + i * ld + (int64_t)h * D, ld, b.n, D);
        pf_attn_scores(g, s, &b, q, keys, D);
        block_softmax(j, &b, s, bits, drop, h, inv);
        float *o = j->o + b.row * ldo + (int64_t)h * D;
        if (b.n_run)
            pf_attn_gather(g, o, ldo, &b, s, values, D);
        for (int64_t r = 0; r < b.n; r++)
            for (int d = 0; d < D; d++)
                o[r * ldo + d] = inv[r] > 0 ? o[r * ldo + d] * inv[r] : 0;
    }
}

void pf_cpu_attn(pf_backend *be, void *o, void *lse, const void *qkv,
                 const pf_attn *a, int64_t M)
{
    pf_attn_job j = {pf_cpu_of(be), a, o, lse, qkv};
    PF_ASSERT(M <= j.c->max_rows && a->D <= j.c->head_dim);
    pf_pool_run(be->pool, attn_task, &j, a->n_group * a->H);
}

/* --------------------------------------------------------------- decode -- */

#define DECODE_KEYS 256 /* of one step of the online softmax */

typedef struct pf_decode_job {
    const pf_row_kern *k;
    const pf_attn *a;
    float *o;
    const float *qkv;
    void *const *keys, *const *values;
    const int32_t *first, *len;
} pf_decode_job;

/* One head of one sequence; its steps are cut from its first key on. */
static void decode_task(void *arg, int task, int thread)
{
    (void)thread;
    const pf_decode_job *j = arg;
    const pf_attn *a = j->a;
    int i = task / a->H, h = task % a->H, kv = h / (a->H / a->G), D = a->D;
    int64_t ld = (int64_t)a->G * D;
    const float *q = j->qkv + ((int64_t)i * (a->H + 2 * a->G) + h) * D;
    const float *k = (const float *)j->keys[i] + (int64_t)kv * D;
    const float *v = (const float *)j->values[i] + (int64_t)kv * D;
    float *o = j->o + ((int64_t)i * a->H + h) * D, max = -INFINITY;
    float s[DECODE_KEYS] PF_ALIGNED(64);
    uint16_t bits[DECODE_KEYS / PF_LINE];
    double sum = 0;
    memset(o, 0, (size_t)D * sizeof *o);
    for (int64_t p = j->first[i]; p <= j->len[i]; p += DECODE_KEYS) {
        int64_t n = PF_MIN(DECODE_KEYS, j->len[i] + 1 - p);
        int64_t lines = pf_div_up(n, PF_LINE);
        float top;
        memset(s, 0, sizeof s);
        for (int64_t t = 0; t < n; t++)
            s[t] = (float)j->k->dot(q, k + (p + t) * ld, D);
        for (int64_t l = 0; l < lines; l++)
            bits[l] = (uint16_t)range_bits(0, n, l * PF_LINE);
        double part = j->k->softmax(s, PF_LINE, bits, lines, a->scale,
                                    a->softcap, &top);
        float both = PF_MAX(max, top);
        double keep = exp((double)max - (double)both);
        double take = exp((double)top - (double)both);
        for (int d = 0; d < D; d++)
            o[d] *= (float)keep;
        for (int64_t t = 0; t < n; t++)
            j->k->axpy(o, v + (p + t) * ld, (float)(s[t] * take), D);
        sum = sum * keep + part * take;
        max = both;
    }
    for (int d = 0; d < D; d++)
        o[d] = (float)(o[d] / sum);
}

void pf_cpu_attn_decode(pf_backend *be, void *o, const void *qkv,
                        void *const *k, void *const *v, const int32_t *first,
                        const int32_t *len, int n, const pf_attn *a)
{
    size_t row = (size_t)a->G * (size_t)a->D;
    const float *in = qkv;
    for (int i = 0; i < n; i++, in += (int64_t)(a->H + 2 * a->G) * a->D) {
        const float *new_k = in + (int64_t)a->H * a->D;
        memcpy((float *)k[i] + (size_t)len[i] * row, new_k, row * sizeof *in);
        memcpy((float *)v[i] + (size_t)len[i] * row, new_k + row,
               row * sizeof *in);
    }
    pf_decode_job j = {pf_cpu_of(be)->rows, a, o, qkv, k, v, first, len};
    pf_pool_run(be->pool, decode_task, &j, n * a->H);
}
