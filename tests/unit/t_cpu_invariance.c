/* SPDX-License-Identifier: MIT
 *
 * A row's results have the same bits whatever else is in the call, wherever
 * the row lies, and however many threads there are (DESIGN section 5). Each
 * check computes rows in one call, then again in other company, and compares
 * bytes. Gradients of parameters have the same bits for any thread count. */
#include "tests/unit/cpu_pair.h"

/* Inputs are a function of (row, column) alone. */
static float value(int64_t row, int64_t col)
{
    uint64_t h = (uint64_t)(row * 1000003 + col) * 0x9E3779B97F4A7C15u;
    h ^= h >> 29;
    h *= 0xBF58476D1CE4E5B9u;
    return (float)(int32_t)(h >> 32) * 0x1p-31f;
}

/* Rows shift.. of the common input; rows before 0 are other rows. */
static float *rows_of(int64_t M, int64_t n, int64_t shift)
{
    float *x = malloc((size_t)(M * n) * sizeof *x);
    for (int64_t m = 0; m < M; m++)
        for (int64_t i = 0; i < n; i++)
            x[m * n + i] = value(m - shift, i);
    return x;
}

static bool same(const float *a, const float *b, int64_t n)
{
    return memcmp(a, b, (size_t)n * sizeof *a) == 0;
}

/* -------------------------------------------------------------- products -- */

typedef struct shape {
    int64_t K, N;
} shape;

static pf_weight *weight_for(pf_backend *be, float *master, float *grad,
                             shape s)
{
    pf_part part = {master, grad, s.N, false};
    for (int64_t i = 0; i < s.K * s.N; i++)
        master[i] = value(i, 7) * 0.1f;
    pf_weight *w = be->ops->weight_new(be, &part, 1, s.K, true);
    be->ops->weight_pack(be, w);
    return w;
}

/* y[want rows] of a call with M rows of which the wanted start at shift. */
static void products(pf_backend *be, float *y, float *dx, float *dw, shape s,
                     int64_t want, int64_t M, int64_t shift)
{
    size_t wn = (size_t)(s.K * s.N) * sizeof(float);
    float *master = malloc(wn), *grad = calloc(1, wn);
    pf_weight *w = weight_for(be, master, grad, s);
    float *x = rows_of(M, s.K, shift), *dy = rows_of(M, s.N, shift);
    float *full = calloc((size_t)(M * s.N), sizeof *full);
    float *fdx = calloc((size_t)(M * s.K), sizeof *fdx);
    be->ops->linear(be, full, x, w, NULL, M);
    memcpy(y, full + shift * s.N, (size_t)(want * s.N) * sizeof *y);
    be->ops->linear_add(be, full, x, w, NULL, M);
    for (int64_t i = 0; i < want * s.N; i++)
        if (full[shift * s.N + i] != y[i] + y[i])
            y[i] = NAN;
    be->ops->linear_dgrad(be, fdx, dy, w, M);
    memcpy(dx, fdx + shift * s.K, (size_t)(want * s.K) * sizeof *dx);
    be->ops->linear_wgrad(be, w, NULL, dy, x, M);
    if (dw)
        memcpy(dw, grad, wn);
    be->ops->weight_free(be, w);
    free(master);
    free(grad);
    free(x);
    free(dy);
    free(full);
    free(fdx);
}

static void product_shape(pf_pool *const *pool, shape s)
{
    static const int64_t call[][2] = {{19, 0}, {33, 14}, {100, 37},
                                      {540, 321}, {20, 1}};
    enum { WANT = 19 };
    size_t yn = (size_t)(WANT * s.N), xn = (size_t)(WANT * s.K);
    size_t wn = (size_t)(s.K * s.N);
    float *y = malloc(yn * 8), *dx = malloc(xn * 8), *dw = malloc(wn * 8);
    for (int t = 0; t < 3; t++) {
        pf_backend *be = NULL;
        CHECK_OK(pf_backend_open(&be, "cpu", "auto", pool[t], NULL));
        for (size_t i = 0; be && i < PF_COUNTOF(call); i++) {
            bool first = t == 0 && i == 0, all = i == 3;
            float *y1 = first ? y : y + yn, *x1 = first ? dx : dx + xn;
            float *w1 = t == 0 ? dw : dw + wn;
            products(be, y1, x1, all ? w1 : NULL, s, WANT, call[i][0],
                     call[i][1]);
            CHECK(same(y, y1, (int64_t)yn) && same(dx, x1, (int64_t)xn));
            CHECK(!all || same(dw, w1, (int64_t)wn));
        }
        pf_backend_close(be);
    }
    free(y);
    free(dx);
    free(dw);
}

static void products_all(pf_pool *const *pool)
{
    static const shape shapes[] = {{64, 96}, {50, 37}, {320, 100}};
    for (size_t i = 0; i < PF_COUNTOF(shapes); i++)
        product_shape(pool, shapes[i]);
}

/* ------------------------------------------------------------- attention -- */

enum { AH = 4, AG = 2, AD = 24, ALD = (AH + 2 * AG) * AD };

/* One group of 90 rows at some place among others. before: rows of the group
 * that comes first. Inputs of the wanted group are its own. */
static void attention(pf_backend *be, float *out, int before, int after,
                      int window)
{
    int p[3] = {before, 50, after}, len[3][2] = {{0, 0}, {23, 17}, {0, 0}};
    int n = 0, at = before ? 1 : 0;
    pf_keys keys[1000];
    pf_group group[3];
    int pp[3], ll[3][2];
    for (int i = 0; i < 3; i++)
        if (p[i]) {
            pp[n] = p[i];
            memcpy(ll[n++], len[i], sizeof ll[0]);
        }
    int M = pair_keys(keys, group, n, pp, (const int (*)[2])ll, window);
    pf_attn a = {.H = AH, .G = AG, .D = AD, .scale = 0.2f, .keys = keys,
                 .group = group, .n_group = n};
    float *qkv = rows_of(M, ALD, before), *d_o = rows_of(M, AH * AD, before);
    float *o = malloc((size_t)M * AH * AD * 4), *lse = malloc((size_t)M * AH * 4);
    float *dqkv = malloc((size_t)M * ALD * 4);
    for (int i = 0; i < M * ALD; i++)
        qkv[i] *= 3;
    be->ops->attn(be, o, lse, qkv, &a, M);
    be->ops->attn_bwd(be, dqkv, d_o, o, qkv, lse, &a, M);
    int row = group[at].row;
    memcpy(out, o + row * AH * AD, 90 * AH * AD * 4);
    memcpy(out + 90 * AH * AD, lse + row * AH, 90 * AH * 4);
    memcpy(out + 90 * AH * (AD + 1), dqkv + row * ALD, 90 * ALD * 4);
    free(qkv);
    free(d_o);
    free(o);
    free(lse);
    free(dqkv);
}

static void attention_all(pf_pool *const *pool)
{
    static const int call[][2] = {{0, 0}, {1, 0}, {37, 200}, {700, 3}};
    enum { N = 90 * (AH * (AD + 1) + ALD) };
    static float first[N], got[N];
    for (int window = 0; window <= 31; window += 31)
        for (int t = 0; t < 3; t++) {
            pf_backend *be = NULL;
            CHECK_OK(pf_backend_open(&be, "cpu", "auto", pool[t], NULL));
            CHECK_OK(be->ops->reserve(be, 1000, 8, AH, AG, AD, 64, 64, 64,
                                      true, NULL));
            for (size_t i = 0; i < PF_COUNTOF(call); i++) {
                bool is_first = t == 0 && i == 0;
                attention(be, is_first ? first : got, call[i][0], call[i][1],
                          window);
                CHECK(is_first || same(first, got, N));
            }
            pf_backend_close(be);
        }
}

/* A row's own answer must not change when its branch lies elsewhere in the
 * group: a prompt with one branch, and with a sibling before it. */
static void sibling_case(pf_backend *be, float *out, int sibling)
{
    enum { P = 41, L = 29 };
    int M = P + sibling + L;
    pf_keys keys[200];
    pf_group group = {0, M};
    float *qkv = malloc((size_t)M * ALD * 4);
    float *o = malloc((size_t)M * AH * AD * 4), *lse = malloc((size_t)M * AH * 4);
    for (int r = 0; r < M; r++) {
        int id = r < P ? r : r < P + sibling ? 1000 + r : r - sibling;
        int from = r < P ? 0 : r < P + sibling ? P : P + sibling;
        keys[r] = (pf_keys){0, r < P ? 0 : P, from, r + 1};
        for (int i = 0; i < ALD; i++)
            qkv[r * ALD + i] = 3 * value(id, i);
    }
    pf_attn a = {.H = AH, .G = AG, .D = AD, .scale = 0.2f, .keys = keys,
                 .group = &group, .n_group = 1};
    be->ops->attn(be, o, lse, qkv, &a, M);
    memcpy(out, o, P * AH * AD * 4);
    memcpy(out + P * AH * AD, o + (P + sibling) * AH * AD, L * AH * AD * 4);
    memcpy(out + (P + L) * AH * AD, lse + (P + sibling) * AH, L * AH * 4);
    free(qkv);
    free(o);
    free(lse);
}

static void sibling_all(pf_pool *const *pool)
{
    enum { N = 70 * AH * AD + 29 * AH };
    static float first[N], got[N];
    pf_backend *be = NULL;
    CHECK_OK(pf_backend_open(&be, "cpu", "auto", pool[0], NULL));
    CHECK_OK(be->ops->reserve(be, 200, 8, AH, AG, AD, 64, 64, 64, true, NULL));
    sibling_case(be, first, 0);
    for (int s = 1; s < 80; s += 13) {
        sibling_case(be, got, s);
        CHECK(same(first, got, N));
    }
    pf_backend_close(be);
}

/* ------------------------------------------------------------------ head -- */

enum { HV = 1337, HC = 72, HW = 11 };

/* logp, lse and dx of HW rows that start at `shift` of R. */
static void head_case(pf_backend *be, float *out, float *dw, int64_t R,
                      int64_t shift)
{
    shape s = {HC, HV};
    float *master = malloc(HV * HC * 4), *grad = calloc(HV * HC, 4);
    pf_weight *w = weight_for(be, master, grad, s);
    float *x = rows_of(R, HC, shift), *dx = malloc((size_t)(R * HC) * 4);
    float *logp = malloc((size_t)R * 4), *ent = malloc((size_t)R * 4);
    float *coef = malloc((size_t)R * 4);
    double *lse = malloc((size_t)R * 8);
    int32_t *row = malloc((size_t)R * 4), *target = malloc((size_t)R * 4);
    for (int64_t r = 0; r < R; r++) {
        row[r] = (int32_t)r;
        target[r] = (int32_t)(((r - shift) * 131 % HV + HV) % HV);
        coef[r] = value(r - shift, 3);
    }
    pf_head h = {.R = R, .T = R, .C = HC, .V = HV, .row = row,
                 .target = target, .mask = PF_HEAD_ENTROPY, .logp = logp,
                 .lse = lse, .entropy = ent, .coef = coef};
    be->ops->head(be, x, w, &h);
    be->ops->head_bwd(be, dx, x, w, &h);
    memcpy(out, logp + shift, HW * 4);
    memcpy(out + HW, ent + shift, HW * 4);
    memcpy(out + 2 * HW, lse + shift, HW * 8);
    memcpy(out + 4 * HW, dx + shift * HC, HW * HC * 4);
    memcpy(dw, grad, HV * HC * 4);
    be->ops->weight_free(be, w);
    free(master);
    free(grad);
    free(x);
    free(dx);
    free(logp);
    free(ent);
    free(coef);
    free(lse);
    free(row);
    free(target);
}

static void head_all(pf_pool *const *pool)
{
    static const int64_t call[][2] = {{HW, 0}, {12, 1}, {60, 33}, {300, 200}};
    enum { N = 4 * HW + HW * HC };
    static float first[N], got[N], dw[2][HV * HC];
    for (int t = 0; t < 3; t++) {
        pf_backend *be = NULL;
        CHECK_OK(pf_backend_open(&be, "cpu", "auto", pool[t], NULL));
        CHECK_OK(be->ops->reserve(be, 64, 300, AH, AG, AD, HC, 64, HV, true,
                                  NULL));
        for (size_t i = 0; i < PF_COUNTOF(call); i++) {
            bool is_first = t == 0 && i == 0;
            head_case(be, is_first ? first : got, dw[t > 0], call[i][0],
                      call[i][1]);
            CHECK(is_first || same(first, got, N));
        }
        CHECK(t == 0 || same(dw[0], dw[1], HV * HC));
        pf_backend_close(be);
    }
}

/* ------------------------------------------------------------------ norm -- */

static void norm_all(pf_pool *const *pool)
{
    enum { C = 77, M = 300 };
    static float w[C], y[2][M * C], s[M * 2], dx[2][M * C], dw[2][C], db[2][C];
    float *x = rows_of(M, C, 0), *dy = rows_of(M, C, 50);
    for (int i = 0; i < C; i++)
        w[i] = value(i, 1);
    for (int t = 0; t < 3; t++) {
        pf_backend *be = NULL;
        int k = t > 0;
        CHECK_OK(pf_backend_open(&be, "cpu", "auto", pool[t], NULL));
        CHECK_OK(be->ops->reserve(be, M, 8, AH, AG, AD, C, 64, 64, true,
                                  NULL));
        memset(dx[k], 0, sizeof dx[k]);
        memset(dw[k], 0, sizeof dw[k]);
        memset(db[k], 0, sizeof db[k]);
        be->ops->norm(be, y[k], s, x, w, w, PF_NORM_LN, 1e-5f, NULL, M, C);
        be->ops->norm_bwd(be, dx[k], dw[k], db[k], dy, x, s, w, PF_NORM_LN,
                          NULL, M, C);
        double sum = be->ops->sumsq(be, x, M * C);
        static double sum0;
        sum0 = t == 0 ? sum : sum0;
        CHECK(sum == sum0);
        CHECK(same(y[0], y[k], M * C) && same(dx[0], dx[k], M * C));
        CHECK(same(dw[0], dw[k], C) && same(db[0], db[k], C));
        /* rows 40.. alone, by index */
        int32_t row[20];
        for (int i = 0; i < 20; i++)
            row[i] = 40 + i;
        be->ops->norm(be, y[1], s, x, w, w, PF_NORM_LN, 1e-5f, row, 20, C);
        CHECK(same(y[0] + 40 * C, y[1], 20 * C));
        pf_backend_close(be);
    }
    free(x);
    free(dy);
}

/* ------------------------------------------------------------------ tests -- */

static void with_pools(void (*fn)(pf_pool *const *pool))
{
    static const pf_cpu tiers[] = {PF_CPU_PORTABLE, PF_CPU_AVX2,
                                   PF_CPU_AVX512};
    pf_pool *pool[3] = {NULL};
    CHECK_OK(pf_pool_new(&pool[1], 2, NULL));
    CHECK_OK(pf_pool_new(&pool[2], 7, NULL));
    for (int i = 0; i < 3; i++)
        if (pf_cpu_cap(tiers[i]) == tiers[i])
            fn(pool);
    pf_cpu_cap(PF_CPU_AVX512);
    pf_pool_free(pool[1]);
    pf_pool_free(pool[2]);
}

static void test_products(void)
{
    with_pools(products_all);
}
static void test_attention(void)
{
    with_pools(attention_all);
}
static void test_sibling(void)
{
    with_pools(sibling_all);
}
static void test_head(void)
{
    with_pools(head_all);
}
static void test_norm(void)
{
    with_pools(norm_all);
}

static const pft_test tests[] = {
    {"products: rows shifted, other M, 1 = 2 = 7 threads", test_products},
    {"attention: group in other company, threads", test_attention},
    {"attention: branch elsewhere in its group", test_sibling},
    {"head: rows shifted, other R, threads", test_head},
    {"norm and sums: threads", test_norm},
};
PF_TEST_MAIN(tests)
